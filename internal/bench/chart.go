package bench

import (
	"fmt"
	"io"
	"strings"
)

// The chart: how many nodes were at each step over time, as stacked areas.
const (
	chartWidth, chartHeight = 900, 360
	chartLeft, chartTop     = 60, 40
	chartRight, chartBottom = 20, 50
)

// chartSteps are the statuses from the bottom of the stack to its top, with their colours.
var chartSteps = []struct{ status, label, colour string }{
	{"stable", "stable", "#4c9f70"},
	{"failed", "failed", "#b0413e"},
	{"configuring", "configuring", "#8ecae6"},
	{"power_on_called", "booting", "#f2c14e"},
	{"power_on_pending", "to power on", "#f78154"},
	{"power_off_forcefully_called", "forcing off", "#5f0f40"},
	{"power_off_gracefully_called", "powering off", "#9a6fb0"},
	{"power_off_pending", "to power off", "#c9a7d8"},
	{"on_hold", "on hold", "#b8b8b8"},
	{"waiting", "waiting", "#e4e4e4"},
}

// maxSamples bounds the points of the chart; more would not be seen.
const maxSamples = 300

// thin returns about n of the samples, evenly spread, the last one among them.
func thin(all []Sample, n int) []Sample {
	step := max(1, len(all)/n)
	var some []Sample
	for i := 0; i < len(all)-1; i += step {
		some = append(some, all[i])
	}
	return append(some, all[len(all)-1])
}

// Chart writes the largest session as an SVG picture. Without one it writes nothing.
func (r *Result) Chart(w io.Writer) error {
	if len(r.Sessions) == 0 {
		return nil
	}
	s := r.Sessions[len(r.Sessions)-1]
	if len(s.Series) < 2 {
		return nil
	}
	s.Series = thin(s.Series, maxSamples)
	end := s.Series[len(s.Series)-1].Seconds
	x := func(seconds float64) float64 {
		return chartLeft + seconds/end*(chartWidth-chartLeft-chartRight)
	}
	y := func(nodes int) float64 {
		return chartHeight - chartBottom - float64(nodes)/float64(s.Nodes)*(chartHeight-chartTop-chartBottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<text x="%d" y="20" font-size="14">Reboot of %d nodes: %s, speed %g</text>`+"\n", chartLeft, s.Nodes, r.Setup, r.Speed)
	base := make([]int, len(s.Series))
	legend := chartLeft
	for _, step := range chartSteps {
		top := make([]int, len(base))
		used := false
		for i, sample := range s.Series {
			top[i] = base[i] + sample.Counts[step.status]
			used = used || sample.Counts[step.status] > 0
		}
		if used {
			b.WriteString(`<path d="`)
			for i := range top {
				fmt.Fprintf(&b, "%s%.1f %.1f ", map[bool]string{true: "M", false: "L"}[i == 0], x(s.Series[i].Seconds), y(top[i]))
			}
			for i := len(base) - 1; i >= 0; i-- {
				fmt.Fprintf(&b, "L%.1f %.1f ", x(s.Series[i].Seconds), y(base[i]))
			}
			fmt.Fprintf(&b, `Z" fill="%s"/>`+"\n", step.colour)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
				legend, chartHeight-16, step.colour, legend+14, chartHeight-7, step.label)
			legend += 24 + 7*len(step.label)
		}
		base = top
	}
	for i := range 5 {
		at := end * float64(i) / 4
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%.1f s</text>`+"\n", x(at), chartHeight-chartBottom+16, at)
	}
	for _, n := range []int{0, s.Nodes / 2, s.Nodes} {
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%d</text>`+"\n", chartLeft-6, y(n)+4, n)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
