package timeline

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Measures of the chart, in pixels.
const (
	svgWidth  = 960
	svgLeft   = 110
	svgRight  = 20
	svgTop    = 50
	svgPanel  = 150
	svgGap    = 40
	svgHeight = svgTop + 3*(svgPanel+svgGap) + 10
)

// WriteSVG draws packets/s, bytes/s and drops/s over time, one above the other.
func WriteSVG(w io.Writer, title string, over *Timeline) error {
	const columns = svgWidth - svgLeft - svgRight
	c, each := over.Columns(columns)
	from, to := over.Whole()
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", svgWidth, svgHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", svgWidth, svgHeight)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15">%s</text>`+"\n", svgLeft, escaped(title))
	whole := func(v float64) string { return humanize.SIWithDigits(v, 1, "") }
	for i, p := range []struct {
		name, color string
		what        func(Column) float64
		text        func(float64) string
	}{
		{"packets/s", "#1f77b4", func(c Column) float64 { return c.Packets }, whole},
		{"bytes/s", "#2ca02c", func(c Column) float64 { return c.Bytes }, func(v float64) string { return humanize.IBytes(uint64(v)) }},
		{"drops/s", "#d62728", func(c Column) float64 { return c.Drops }, whole},
	} {
		rates, highest := PerSecond(c, each, p.what)
		top := svgTop + i*(svgPanel+svgGap)
		drawPanel(&b, top, p.color, rates, highest)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", svgLeft-8, top+10, escaped(p.text(highest)))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">0</text>`+"\n", svgLeft-8, top+svgPanel)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" font-weight="bold">%s</text>`+"\n", svgLeft-8, top+svgPanel/2, p.name)
		drawTimes(&b, top+svgPanel+16, from, to)
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// drawPanel draws one area of steps, a pixel a Column.
func drawPanel(b *bytes.Buffer, top int, color string, rates []float64, highest float64) {
	bottom := top + svgPanel
	fmt.Fprintf(b, `<path fill="%s" d="M%d %d`, color, svgLeft, bottom)
	for _, r := range rates {
		height := 0.0
		if highest > 0 {
			height = r / highest * svgPanel
		}
		fmt.Fprintf(b, "V%.1fh1", float64(bottom)-height)
	}
	fmt.Fprintf(b, `V%dZ"/>`+"\n", bottom)
	fmt.Fprintf(b, `<path fill="none" stroke="#888" d="M%d %dV%dH%d"/>`+"\n", svgLeft, top, bottom, svgLeft+len(rates))
}

func drawTimes(b *bytes.Buffer, y int, from, to int64) {
	const marks = 4
	for i := range marks + 1 {
		anchor := [...]string{"start", "middle", "end"}[min(i, 1)+i/marks]
		at := time.Unix(0, from+int64(float64(to-from)/marks*float64(i)))
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" fill="#555">%s</text>`+"\n",
			svgLeft+(svgWidth-svgLeft-svgRight)*i/marks, y, anchor, at.Format(timesLayout(to-from)))
	}
}

// timesLayout is how exact times have to be.
func timesLayout(Span int64) string {
	switch d := time.Duration(Span); {
	case d < 10*time.Second:
		return "15:04:05.000"
	case d < 24*time.Hour:
		return time.TimeOnly
	}
	return "2006-01-02 15:04"
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // into memory: no error
	return b.String()
}
