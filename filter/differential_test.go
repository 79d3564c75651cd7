package filter

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fromEnv reads a number from the environment, which make long sets.
func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s, set := os.LookupEnv(name)
	switch {
	case !set && testing.Short():
		return max(otherwise/5, 1)
	case !set:
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestDifferential compares verdicts and refusals with those of the installed
// tcpdump, on random expressions: half of them from a fixed seed, half from
// one that changes, which TUNREC_FILTER_SEED sets.
func TestDifferential(t *testing.T) {
	expressions := fromEnv(t, "TUNREC_FILTER_EXPRESSIONS", 1000)
	packets := corpus(1, int(fromEnv(t, "TUNREC_FILTER_PACKETS", 2500)))
	seed := fromEnv(t, "TUNREC_FILTER_SEED", uint64(time.Now().UnixNano()))
	t.Logf("TUNREC_FILTER_SEED=%d", seed)
	o := newOracle(t, packets)
	var count tally
	for _, s := range []uint64{1, seed} {
		r := rand.New(rand.NewPCG(s, 2))
		for range expressions / 2 {
			count.compare(t, o, packets, randomExpression(r))
		}
	}
	t.Logf("%d expressions on %d packets: %d compared (%d of them match some packet; %d verdicts are those of libpcap's optimised program only), "+
		"%d refused by both, %d refused here because they match nothing, %d refused by one side only, as listed",
		expressions, len(packets), count.compared, count.matching, count.optimisedOnly, count.refused, count.empty, count.listed)
	if count.compared < int(expressions)/2 || count.matching < int(expressions)/4 {
		t.Error("too few of the expressions say anything")
	}
}

type tally struct{ compared, matching, optimisedOnly, refused, empty, listed int }

// compare fails the test if an expression is treated differently here and in
// libpcap.
func (c *tally) compare(t *testing.T, o *oracle, packets []captured, expression string) {
	t.Helper()
	plain, plainErr := o.verdicts(t, expression, false)
	program, err := Compile(expression, Options{})
	if plainErr != nil || err != nil {
		c.compareRefusals(t, o, expression, plain, plainErr, err)
		return
	}
	c.compared++
	var optimised []bool
	any := false
	for i, p := range packets {
		verdict := program.Match(p.data, p.origLen)
		any = any || verdict
		if verdict == plain[i] {
			continue
		}
		if optimised == nil {
			if optimised, err = o.verdicts(t, expression, true); err != nil {
				optimised = make([]bool, len(packets))
			}
		}
		if verdict != optimised[i] {
			t.Errorf("%q: packet %d (%d of %d bytes: %x): %v here, %v in libpcap", expression, i, len(p.data), p.origLen, p.data, verdict, plain[i])
			return
		}
		c.optimisedOnly++
	}
	if any {
		c.matching++
	}
}

func (c *tally) compareRefusals(t *testing.T, o *oracle, expression string, plain []bool, plainErr, err error) {
	t.Helper()
	if plainErr != nil && err != nil {
		c.refused++
		return
	}
	_, optimisedErr := o.verdicts(t, expression, true)
	switch {
	case errors.Is(err, ErrRejectsAll):
		for i, accepted := range plain {
			if accepted {
				t.Errorf("%q: refused as matching nothing, but libpcap accepts packet %d", expression, i)
				return
			}
		}
		c.empty++
	case err != nil && optimisedErr != nil:
		c.refused++ // what libpcap's optimiser finds, like a division by zero
	case err != nil && constantError(err), err == nil && listed(expression, plainErr.Error()):
		c.listed++
	default:
		t.Errorf("%q: here: %v; libpcap: %v, optimised: %v", expression, err, plainErr, optimisedErr)
	}
}

// constantError reports the errors of numbers that are computed here at once,
// which libpcap does only sometimes: "len >> - 6 = 1".
func constantError(err error) bool {
	return strings.HasSuffix(err.Error(), "by zero") || strings.HasSuffix(err.Error(), "31 bits")
}

// listed are the refusals of libpcap that are not followed.
func listed(expression, message string) bool {
	switch message {
	case "division by zero", "modulus by zero", "shift by more than 31 bits":
		// libpcap 1.10 looks at the first number within the right side of
		// the operator, which may be an offset, as in "ip[2] / ip[0] = 1".
		return strings.ContainsAny(expression, "/%<>")
	case "can't parse filter expression: syntax error":
		// A group of names may not begin with a group in libpcap's grammar:
		// "port ((80 or 81) or 82)".
		return strings.Contains(strings.ReplaceAll(expression, " ", ""), "((")
	}
	return false
}
