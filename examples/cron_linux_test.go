package examples

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mailer stands in for sendmail: what cron mails goes into a pipe.
const mailer = "#!/bin/sh\nexec cat >/run/mail\n"

// TestCronJob lets a real cron run the job, at the next full minute instead of
// at four, until it has recorded three packets.
func TestCronJob(t *testing.T) {
	crontab, err := os.ReadFile("cron/tunrec")
	must(t, err)
	job := regexp.MustCompile(`(?m)^0 4 \* \* \* (root tunrec .*)$`)
	if n := len(job.FindAll(crontab, -1)); n != 1 {
		t.Fatalf("the crontab has %d jobs at four", n)
	}
	crontab = job.ReplaceAll(crontab, []byte("* * * * * $1 -c 3"))

	isolate(t)
	mail := aloneWithCron(t, string(crontab))
	must(t, os.Mkdir("/var/local/tunrec", 0o700)) // as its comment says
	wait := awaitPeer(t)
	// Every process that cron starts ends with its process namespace.
	cron := start(t, exec.Command("unshare", "--pid", "--fork", "--kill-child", "cron", "-f"))
	wait()
	sendPackets(t, 3)
	message := readMail(t, mail)
	must(t, cron.Process.Kill())

	_, body, found := strings.Cut(message, "\n\n")
	if !found || !strings.Contains(message, "\nTo: root\n") {
		t.Errorf("this is no mail to root:\n%s", message)
	}
	checkSummary(t, body, 3)
	checkSeries(t, "/var/local/tunrec/nightly", 1, 3)
}

// aloneWithCron leaves cron nothing to do but the crontab, and returns the pipe
// that its mail goes into.
func aloneWithCron(t *testing.T, crontab string) *os.File {
	t.Helper()
	for _, dir := range []string{"/run", "/etc/cron.d", "/var/spool/cron", "/var/local"} {
		mountTmpfs(t, dir)
	}
	must(t, unix.Mount("/dev/null", "/etc/crontab", "", unix.MS_BIND, "")) // the system's jobs
	must(t, os.Mkdir("/var/spool/cron/crontabs", 0o700))
	must(t, os.WriteFile("/etc/cron.d/tunrec", []byte(crontab), 0o644))

	for _, dir := range []string{"/run/upper", "/run/work"} {
		must(t, os.Mkdir(dir, 0o755))
	}
	must(t, os.WriteFile("/run/upper/sendmail", []byte(mailer), 0o755))
	must(t, unix.Mount("overlay", "/usr/sbin", "overlay", 0, "lowerdir=/usr/sbin,upperdir=/run/upper,workdir=/run/work"))
	must(t, unix.Mkfifo("/run/mail", 0o600))
	mail, err := os.OpenFile("/run/mail", os.O_RDWR|unix.O_NONBLOCK, 0)
	must(t, err)
	t.Cleanup(func() { mail.Close() })
	return mail
}

// readMail reads up to the line that sums up the job.
func readMail(t *testing.T, mail *os.File) string {
	t.Helper()
	must(t, mail.SetReadDeadline(time.Now().Add(time.Minute)))
	var message strings.Builder
	for b := make([]byte, 4096); !summary.MatchString(message.String()); {
		n, err := mail.Read(b)
		if err != nil {
			t.Fatalf("no mail from cron that ends with the job's summary: %v\n%s", err, &message)
		}
		message.Write(b[:n])
	}
	return message.String()
}
