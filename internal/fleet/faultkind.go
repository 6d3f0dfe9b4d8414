package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// valueKind is what the Value of a fault has to be.
type valueKind uint8

const (
	noValue valueKind = iota
	optionalText
	text
	duration     // 90s
	durationSpan // 90s, or 1s-3s
	number       // 0, 1, 2 …
)

// faultKind describes a kind of fault.
type faultKind struct {
	service string // that a service fault belongs to, or "any"; empty for node faults
	value   valueKind
	oneOf   []string // values it takes; the first is the default
	deflt   string   // value in place of none
	help    string
}

// faultKinds are all kinds of faults.
var faultKinds = map[string]faultKind{
	"power_on_fails":        {oneOf: []string{"stays_off", "transport"}, help: "accepted but stays off, or the command fails in transport"},
	"power_on_slow":         {value: duration, help: "power on takes this much longer"},
	"post_hang":             {help: "firmware never gets further"},
	"pxe_no_dhcp":           {help: "never fetches a boot script"},
	"bootscript_404":        {help: "BSS has no boot script for the node"},
	"kernel_panic":          {help: "kernel panics; power stays on, no report"},
	"rootfs_missing":        {help: "no root file system; emergency shell, no report"},
	"reporter_dead":         {help: "BOS reporter never starts"},
	"reporter_delay":        {value: duration, help: "BOS reporter starts late"},
	"reporter_wrong_token":  {value: text, help: "reports this token"},
	"reporter_lies_xname":   {value: text, help: "reports as this component"},
	"spire_unavailable":     {help: "no identity token, so no report to BOS or CFS"},
	"soft_off_ignored":      {help: "graceful shutdown is accepted and ignored"},
	"soft_off_slow":         {value: duration, help: "graceful shutdown takes this much longer"},
	"force_off_fails":       {help: "forced power-off is accepted and ignored"},
	"random_crash":          {value: duration, help: "operating system dies, on average after this long"},
	"random_power_loss":     {value: duration, help: "loses power, on average after this long"},
	"bmc_unreachable":       {help: "management controller does not answer: undefined, unavailable"},
	"bmc_garbage":           {help: "management controller answers nonsense: undefined, available"},
	"bmc_flaps":             {value: duration, help: "unreachable every other period of this length"},
	"hsm_locked":            {help: "locked in HSM"},
	"locked_at":             {value: duration, help: "locked in HSM after this time, on the clock of the machine"},
	"hsm_reserved_by_other": {help: "somebody else holds the reservation in HSM"},
	"hsm_disabled":          {help: "disabled in HSM"},
	"hsm_missing":           {help: "unknown to HSM and so to PCS"},
	"hsm_empty":             {help: "state Empty in HSM, unknown to PCS"},
	"hsm_no_arch":           {help: "no Arch in HSM"},
	"arch_mismatch":         {oneOf: []string{"ARM", "X86", "Other", "UNKNOWN"}, help: "HSM reports this Arch"},
	"pcs_missing":           {oneOf: []string{"entry", "answer"}, help: "not in the component map of PCS: an entry with an error; or left out of the answer"},
	"no_soft_off_support":   {help: "PCS offers no Soft-Off for the node"},
	"cfs_missing":           {help: "unknown to CFS"},
	"cfs_fail":              {value: number, deflt: "1", help: "this many configuration sessions fail; 0 is all"},
	"cfs_layer_incomplete":  {help: "sessions leave layers incomplete"},
	"cfs_never_runs":        {help: "CFS never configures the node"},
	"cfs_status_override":   {value: text, help: "CFS reports this configuration_status"},

	"image_deleted": {service: "s3", value: optionalText, help: "image of this id or name, or every image, is gone from IMS and S3"},

	"outage":                {service: "any", oneOf: []string{"503", "refuse", "blackhole", "502html", "reset_mid_body", "stall_mid_body"}, help: "service is down, in this way"},
	"error_rate":            {service: "any", value: number, deflt: "503", help: "answers this status, with the probability"},
	"latency":               {service: "any", value: durationSpan, help: "answers late"},
	"latency_per_item":      {service: "any", value: duration, help: "answers late by this much per item"},
	"bandwidth":             {service: "any", value: number, help: "answers at this many bytes per second"},
	"truncate_body":         {service: "any", value: number, help: "breaks the connection after this many bytes of the body"},
	"malformed":             {service: "any", help: "answers text that is not JSON, with status 200"},
	"empty_body":            {service: "any", help: "answers without a body"},
	"null_collections":      {service: "any", help: "answers null where a list belongs"},
	"drop_items":            {service: "any", help: "each list item is missing, with the probability"},
	"dup_items":             {service: "any", help: "each list item comes twice, with the probability"},
	"reorder":               {service: "any", help: "lists come in another order"},
	"max_url":               {service: "any", value: number, help: "414 for longer request lines"},
	"max_body":              {service: "any", value: number, help: "413 for longer bodies"},
	"retry_after":           {service: "any", value: number, help: "503 with Retry-After of this many seconds"},
	"require_auth":          {service: "any", oneOf: []string{"on", "off"}, help: "on: services want a bearer token inside the mesh, too; off: the gateway wants none"},
	"expire_tokens_after":   {service: gateway, value: duration, help: "401 for a token that is older; new ones say so"},
	"deny_xname_mismatch":   {service: gateway, help: "403 when a node's token comes with the path of another component"},
	"auth_401":              {service: "any", value: number, deflt: "0", help: "401 after this many requests"},
	"page_size":             {service: "cfs", value: number, help: "largest page of components"},
	"page_loop":             {service: "cfs", help: "next page is always the same one"},
	"cfs_v2_only":           {service: "cfs", help: "no v3 API"},
	"header_case":           {service: "bss", oneOf: []string{"lower", "upper", "canonical"}, help: "spelling of the BSS-Referral-Token header"},
	"no_referral_token":     {service: "bss", help: "no BSS-Referral-Token header"},
	"bss_partial_write":     {service: "bss", value: number, help: "storage fails after this many hosts"},
	"hsm_old_lock_400":      {service: "hsm", help: "lock status answers 400 when nothing matches"},
	"hsm_extra_components":  {service: "hsm", help: "also lists cabinets, chassis, slots, BMCs and processors"},
	"pcs_sample_interval":   {service: "pcs", value: duration, help: "power states are sampled this often instead of every 30s"},
	"pcs_accept_then_lose":  {service: "pcs", help: "transitions are accepted and never run"},
	"pcs_500_after_execute": {service: "pcs", oneOf: []string{"500", "timeout"}, help: "transitions run, the caller gets a 500 or no answer"},
	"etag_mismatch":         {service: "s3", help: "HEAD answers another ETag"},
}

// FaultKinds lists the kinds of faults with one line each, ordered by name: what a
// fault does, and which values it takes. Of several the first is the default.
func FaultKinds() []string {
	lines := make([]string, 0, len(faultKinds))
	for _, name := range slices.Sorted(maps.Keys(faultKinds)) {
		k := faultKinds[name]
		line := fmt.Sprintf("%-22s %s", name, k.help)
		if values := k.values(); values != "" {
			line += " (" + values + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// values describes the values that a fault takes; empty when it takes none.
func (k faultKind) values() string {
	switch {
	case k.oneOf != nil:
		return strings.Join(k.oneOf, ", ")
	case k.deflt != "":
		return "number, default " + k.deflt
	}
	return map[valueKind]string{
		optionalText: "text, or none", text: "text", duration: "duration such as 90s", durationSpan: "duration or span such as 1s-3s", number: "number",
	}[k.value]
}
