package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes the result as tables.
func (r *Result) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "machine\t%s\nset-up\t%s, %d nodes, speed %g\n\n", r.Machine, r.Setup, r.Nodes, r.Speed)
	fmt.Fprintln(t, "REBOOT OF\tRUNS\tCONTROL TIME P50\tP99\tMAX\tREPORT TO ACTION P50\tP99\tWALL\tNOT STABLE")
	for _, s := range r.Sessions {
		fmt.Fprintf(t, "%d\t%d\t%.0f ms\t%.0f ms\t%.0f ms\t%.0f ms\t%.0f ms\t%.2f s\t%d\n", s.Nodes, s.Runs, s.ControlTime.P50, s.ControlTime.P99, s.ControlTime.Max, s.Reaction.P50, s.Reaction.P99, s.WallSeconds, s.Failed)
	}
	fmt.Fprint(t, "\nCPU OF A REBOOT OF")
	for _, u := range r.Memory {
		fmt.Fprintf(t, "\t%s", u.Process)
	}
	fmt.Fprintln(t)
	for _, s := range r.Sessions {
		fmt.Fprintf(t, "%d", s.Nodes)
		for _, u := range s.CPU {
			fmt.Fprintf(t, "\t%.2f s", u.CPUSeconds)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "\nreports lost\t%d\n", r.Lost)
	if len(r.Idle) > 0 {
		fmt.Fprintln(t, "\nIDLE\tCPU\tOVER")
		for _, u := range r.Idle {
			fmt.Fprintf(t, "%s\t%.2f s\t%.0f s\n", u.Process, u.CPUSeconds, u.Seconds)
		}
	}
	if len(r.API) > 0 {
		fmt.Fprintln(t, "\nAPI\tP50\tP99\tPER SECOND")
		for _, a := range r.API {
			fmt.Fprintf(t, "%s\t%.2f ms\t%.2f ms\t%.0f\n", a.Name, a.Latency.P50, a.Latency.P99, a.PerSecond)
		}
	}
	fmt.Fprintln(t, "\nMEMORY\tRESIDENT")
	for _, u := range r.Memory {
		fmt.Fprintf(t, "%s\t%.0f MiB\n", u.Process, u.ResidentMiB)
	}
	return t.Flush()
}
