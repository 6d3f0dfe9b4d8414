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
	duration      // 90s
	durationSpan  // 90s, or 1s-3s
	number        // 0, 1, 2 …
	offset        // 90s, or -90s
	secondsStatus // 5, or 5/429
)

// faultKind describes a kind of fault.
type faultKind struct {
	service string // that a service fault belongs to, or "any"; empty for node faults
	nodes   bool   // a service fault that nodes may have for themselves
	lasts   bool   // it is a property, not something that happens: it takes no count
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
	"bmc_unreachable":       {lasts: true, help: "management controller does not answer: undefined, unavailable"},
	"bmc_garbage":           {lasts: true, help: "management controller answers nonsense: undefined, available"},
	"bmc_flaps":             {lasts: true, value: duration, help: "unreachable every other period of this length"},
	"hsm_locked":            {lasts: true, help: "locked in HSM"},
	"locked_at":             {lasts: true, value: duration, help: "locked in HSM after this time, on the clock of the machine"},
	"hsm_reserved_by_other": {lasts: true, help: "somebody else holds the reservation in HSM"},
	"hsm_disabled":          {lasts: true, help: "disabled in HSM"},
	"hsm_missing":           {lasts: true, help: "unknown to HSM and so to PCS"},
	"hsm_empty":             {lasts: true, help: "state Empty in HSM, unknown to PCS"},
	"hsm_no_arch":           {lasts: true, help: "no Arch in HSM"},
	"arch_mismatch":         {lasts: true, oneOf: []string{"ARM", "X86", "Other", "UNKNOWN"}, help: "HSM reports this Arch"},
	"pcs_missing":           {lasts: true, oneOf: []string{"entry", "answer"}, help: "not in the component map of PCS: an entry with an error; or left out of the answer"},
	"no_soft_off_support":   {lasts: true, help: "PCS offers no Soft-Off for the node"},
	"cfs_missing":           {lasts: true, help: "unknown to CFS"},
	"cfs_fail":              {value: number, deflt: "1", help: "this many configuration sessions fail; 0 is all"},
	"cfs_layer_incomplete":  {help: "sessions leave layers incomplete"},
	"cfs_never_runs":        {lasts: true, help: "CFS never configures the node"},
	"cfs_status_override":   {lasts: true, value: text, help: "CFS reports this configuration_status"},

	"image_deleted": {service: "s3", nodes: true, value: optionalText, help: "image of this id or name, or every image, is gone from IMS and S3; with nodes: for their downloads"},

	"image_contention": {lasts: true, service: "s3", value: number, help: "kernel and initrd take twice as long when so many nodes load theirs, and so on"},

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
	"retry_after":           {service: "any", value: secondsStatus, help: "503, or this status, with Retry-After of this many seconds"},
	"redirect":              {service: "any", oneOf: []string{"308", "301", "302", "303", "307"}, help: "sends the client to the same place again, with this status"},
	"clock_skew":            {lasts: true, service: "any", value: offset, help: "Date header and time stamps are wrong by this much"},
	"require_auth":          {lasts: true, service: "any", oneOf: []string{"on", "off"}, help: "on: services want a bearer token inside the mesh, too; off: the gateway wants none"},
	"expire_tokens_after":   {lasts: true, service: gateway, value: duration, help: "401 for a token that is older; new ones say so"},
	"deny_xname_mismatch":   {service: gateway, help: "403 when a node's token comes with the path of another component"},
	"auth_401":              {service: "any", value: number, deflt: "0", help: "401 after this many requests"},
	"page_size":             {service: "cfs", value: number, help: "largest page of components"},
	"page_loop":             {service: "cfs", help: "next page is always the same one"},
	"cfs_v2_only":           {service: "cfs", help: "no v3 API"},
	"header_case":           {service: "bss", oneOf: []string{"lower", "upper", "canonical"}, help: "spelling of the BSS-Referral-Token header"},
	"no_referral_token":     {service: "bss", help: "no BSS-Referral-Token header"},
	"bss_partial_write":     {service: "bss", value: number, help: "storage fails after this many hosts"},
	"hsm_old_lock_400":      {service: "hsm", help: "lock status answers 400 when nothing matches"},
	"hsm_extra_components":  {lasts: true, service: "hsm", help: "also lists cabinets, chassis, slots, BMCs and processors"},
	"pcs_sample_interval":   {lasts: true, service: "pcs", value: duration, help: "power states are sampled this often instead of every 30s"},
	"pcs_accept_then_lose":  {service: "pcs", help: "transitions are accepted and never run"},
	"pcs_500_after_execute": {service: "pcs", oneOf: []string{"500", "timeout"}, help: "transitions run, the caller gets a 500 or no answer"},
	"etag_mismatch":         {service: "s3", help: "HEAD answers another ETag"},
}

// FaultKinds lists the kinds of faults with one line each, ordered by name: whom a fault
// is about, what it does, and which values it takes. Of several the first is the default.
func FaultKinds() []string {
	lines := make([]string, 0, len(faultKinds))
	for _, name := range slices.Sorted(maps.Keys(faultKinds)) {
		k := faultKinds[name]
		line := fmt.Sprintf("%-22s %s: %s", name, k.about(), k.help)
		if values := k.values(); values != "" {
			line += " (" + values + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// about says whom the fault is about.
func (k faultKind) about() string {
	switch {
	case k.service == "":
		return "nodes"
	case k.nodes:
		return k.service + " or nodes"
	case k.service == "any":
		return "any service"
	}
	return k.service
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
		optionalText: "text, or none", text: "text", duration: "duration such as 90s", offset: "duration such as 90s or -90s", secondsStatus: "seconds such as 5, or with a status such as 5/429", durationSpan: "duration or span such as 1s-3s", number: "number",
	}[k.value]
}
