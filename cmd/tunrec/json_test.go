package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/tunrec/tunrec/capfile"
	"github.com/tunrec/tunrec/pcapng"
)

// controls are characters that a terminal obeys, or that turn the order of what is
// shown round: C0, DEL, C1, and the bidirectional controls of Unicode.
var controls = func() string {
	var all strings.Builder
	for r := rune(0); r <= 0x9f; r++ {
		if r < ' ' || r >= 0x7f {
			all.WriteRune(r)
		}
	}
	for r, in := range map[rune]*unicode.RangeTable{'\u200e': unicode.Cf, '\u2028': unicode.Zl, '\u2029': unicode.Zp} {
		if !unicode.Is(in, r) {
			panic(r)
		}
		all.WriteRune(r)
	}
	for _, pair := range []string{"\u061c\u061c", "\u200b\u200f", "\u202a\u202e", "\u2060\u206f", "\U000e0001\U000e007f"} {
		ends := []rune(pair)
		for r := ends[0]; r <= ends[1]; r++ {
			all.WriteRune(r)
		}
	}
	return all.String()
}()

// wantHarmless looks for any character that is not to be printed.
func wantHarmless(t *testing.T, what, text string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		for _, r := range line {
			if strings.ContainsRune(controls, r) {
				t.Errorf("%s prints %s: %+q", what, strconv.QuoteRuneToASCII(r), line)
				return
			}
		}
	}
}

// TestNothingControlsTerminal: no line of JSON and no message has a control, and a
// program that reads the JSON gets what was meant.
func TestNothingControlsTerminal(t *testing.T) {
	for _, r := range controls + "ä→\U0001f600" {
		name := "a" + string(r) + "z"
		text, err := jsonLine(fields{name: name})
		if err != nil {
			t.Fatal(err)
		}
		wantHarmless(t, "jsonLine", text)
		var back map[string]string
		if err := json.Unmarshal([]byte(text), &back); err != nil || back[name] != name {
			t.Errorf("%s: %v, %+q", text, err, back)
		}
		wantHarmless(t, "an event", eventLine("x", fields{"file": name}))
		wantHarmless(t, "a message", line("%s", name))
	}
	if got, _ := jsonLine("ä→\U0001f600"); got != "\"ä→\U0001f600\"\n" {
		t.Errorf("what can be printed has become %s", got)
	}
}

// TestCommandsPrintNoControls has every command that reads files print about one whose
// name, section and interface are full of controls.
func TestCommandsPrintNoControls(t *testing.T) {
	bad := strings.NewReplacer("\x00", "", "/", "").Replace(controls)
	dir := t.TempDir()
	name := filepath.Join(dir, "evil\x1b]0;\u009b31m\x7f\u202e.pcapng")
	section := pcapng.Section{InterfaceName: "i" + bad, Filter: "f" + bad, Comment: "c" + bad,
		Application: "a" + bad, OS: "o" + bad, Hardware: "h" + bad}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := capfile.NewWriter(f, capfile.Config{Form: capfile.Stream, Section: section})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(capfile.End{}), f.Close()); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut\u009b.pcapng")
	whole, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(cut, append(whole, "garbage"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"info"}, {"info", "--json"}, {"info", "--json", dir}, {"ls", dir}, {"ls", "--json", dir}, {"ls", "-v"}, {"verify"},
		{"repair", "-o", name + "2.pcapng"}, {"slice", "-o", name + "3.pcapng"}, {"convert", "-o", name + "4.pcapng"},
		{"record", "-v", "-o", name + "5.pcapng", "-r"}, {"record", "--json", "-o", name + "6.pcapng", "-r"},
		{"record", "--hook", "/x" + bad, "-b", "packets:1", "-r"}, {"filter", "host \u009b31m\x1b\x7f ("}, {"--addr", bad}, {"--" + bad},
	} {
		for _, file := range []string{name, cut, name + "none"} {
			cmd := exec.Command("tunrec", append(slices.Clone(args), file)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			wantHarmless(t, fmt.Sprintf("%q", cmd.Args), string(out))
		}
	}
}
