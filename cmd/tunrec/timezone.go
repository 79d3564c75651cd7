package main

import (
	"os"
	"path/filepath"
	"strings"
)

// zoneFolders are where package time looks for a zone by its name.
var zoneFolders = []string{"/usr/share/zoneinfo/", "/usr/share/lib/zoneinfo/", "/usr/lib/locale/TZ/", "/etc/zoneinfo/"}

// maxZone is many times what any zone takes (tzfile(5)).
const maxZone = 1 << 20

// checkTimeZone takes UTC where TZ, which whoever calls may set, names something that
// is no file: a FIFO would be waited for, for ever. It has to come before the first
// local time.
func checkTimeZone() {
	zone := strings.TrimPrefix(os.Getenv("TZ"), ":")
	if zone == "" {
		return
	}
	folders := zoneFolders
	if filepath.IsAbs(zone) {
		folders = []string{""}
	}
	for _, folder := range folders {
		info, err := os.Stat(folder + zone)
		if err != nil || info.Mode().IsRegular() && info.Size() <= maxZone {
			continue
		}
		os.Setenv("TZ", "UTC")
		console.Send(line("TZ=%s is no time zone: times are in UTC", zone))
		return
	}
}
