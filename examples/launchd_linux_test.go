package examples

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
)

const plist = "launchd/dev.tunrec.nightly.plist"

func TestLaunchdJobParses(t *testing.T) {
	job := readPlist(t, plist)
	// What launchd.plist(5) wants the values of these keys to be.
	kinds := map[string]any{
		"Label": "", "ProgramArguments": []any{}, "StartCalendarInterval": map[string]any{}, "RunAtLoad": false,
		"ExitTimeOut": 0, "ProcessType": "", "LowPriorityIO": false, "Umask": 0, "StandardErrorPath": "",
	}
	for key, value := range job {
		if kind, ok := kinds[key]; !ok || reflect.TypeOf(kind) != reflect.TypeOf(value) {
			t.Errorf("%s: %T is not what launchd wants, or not a key of its", key, value)
		}
	}
	if label := job["Label"].(string) + ".plist"; label != filepath.Base(plist) {
		t.Errorf("the label of %s is %s", plist, job["Label"])
	}
	if when := job["StartCalendarInterval"]; !reflect.DeepEqual(when, map[string]any{"Hour": 4, "Minute": 0}) {
		t.Errorf("starts at %v", when)
	}
}

func TestLaunchdJobRuns(t *testing.T) {
	var argv []string
	job := readPlist(t, plist)
	for _, arg := range job["ProgramArguments"].([]any) {
		argv = append(argv, arg.(string))
	}
	isolate(t)
	dir := filepath.Dir(job["StandardErrorPath"].(string))
	must(t, os.MkdirAll(dir, 0o700)) // as its comment says
	wait := awaitPeer(t)
	c := exec.Command(argv[0], append(argv[1:], "-c", "3")...)
	c.Dir, c.Env = "/", []string{}
	p := start(t, c)
	wait()
	sendPackets(t, 3)
	p.wait(t, 0)
	checkSummary(t, p.stderr.String(), 3)
	checkSeries(t, dir+"/nightly", 1, 3)
}

// readPlist lints a property list, by turning it into a binary one and back,
// and reads what comes out.
func readPlist(t *testing.T, name string) map[string]any {
	t.Helper()
	dir := t.TempDir()
	binary, text := filepath.Join(dir, "binary"), filepath.Join(dir, "xml")
	for _, args := range [][]string{
		{"-i", name, "-o", binary, "-f", "bin"},
		{"-i", binary, "-o", text, "-f", "xml"},
	} {
		if out, err := exec.Command("plistutil", args...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("plistutil %v: %v\n%s", args, err, out)
		}
	}
	f, err := os.Open(text)
	must(t, err)
	defer f.Close()
	values, err := decodePlist(xml.NewDecoder(f))
	must(t, err)
	if len(values) != 1 {
		t.Fatalf("%s holds %d values", name, len(values))
	}
	return values[0].(map[string]any)
}

// decodePlist decodes the values up to the end of the element that d is in. The
// keys of a dictionary come as values, too.
func decodePlist(d *xml.Decoder) (values []any, err error) {
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return values, nil
		case xml.StartElement:
			if token.Name.Local == "plist" {
				return decodePlist(d)
			}
			v, err := decodeValue(d, token)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
	}
}

func decodeValue(d *xml.Decoder, element xml.StartElement) (any, error) {
	switch kind := element.Name.Local; kind {
	case "array":
		return decodePlist(d)
	case "dict":
		values, err := decodePlist(d)
		dict := map[string]any{}
		for ; len(values) > 1; values = values[2:] {
			dict[values[0].(string)] = values[1]
		}
		return dict, err
	case "true", "false":
		return kind == "true", d.Skip()
	case "key", "string", "integer":
		var s string
		if err := d.DecodeElement(&s, &element); err != nil || kind != "integer" {
			return s, err
		}
		return strconv.Atoi(s)
	}
	return nil, fmt.Errorf("a property list with <%s>", element.Name.Local)
}
