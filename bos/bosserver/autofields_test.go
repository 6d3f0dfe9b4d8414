package bosserver

import (
	"testing"

	"github.com/bootorch/bosgo/bos"
)

func TestAutoFields(t *testing.T) {
	known := &bos.BootArtifacts{Kernel: "k", KernelParameters: "p", Initrd: "i", Timestamp: "then"}
	resolve := func(token bos.BSSToken) *bos.BootArtifacts {
		if token == "known" {
			return known
		}
		return nil
	}
	for _, tt := range []struct{ name, in, want string }{
		{"nothing to do", `{"error":"e"}`, `{"error":"e"}`},
		{"a known token brings its artifacts", `{"actual_state":{"bss_token":"known","boot_artifacts":{"kernel":"other"}}}`,
			`{"actual_state":{"bss_token":"known","last_updated":"now","boot_artifacts":{"kernel":"k","kernel_parameters":"p","initrd":"i","timestamp":"then"}}}`},
		{"an unknown token alone is no change of state", `{"actual_state":{"bss_token":"unknown"}}`, `{"actual_state":{"bss_token":"unknown"}}`},
		{"an unknown token keeps given artifacts", `{"actual_state":{"bss_token":"unknown","boot_artifacts":{"kernel":"x"}}}`,
			`{"actual_state":{"bss_token":"unknown","boot_artifacts":{"kernel":"x"},"last_updated":"now"}}`},
		{"an empty actual state is stamped", `{"actual_state":{}}`, `{"actual_state":{"last_updated":"now"}}`},
		{"a desired token is not resolved", `{"desired_state":{"bss_token":"known"},"session":"s1"}`, `{"desired_state":{"bss_token":"known"},"session":"s1"}`},
		{"a desired state without session clears it", `{"desired_state":{"bss_token":"q"}}`, `{"desired_state":{"bss_token":"q"},"session":""}`},
		{"an empty desired state as well", `{"desired_state":{}}`, `{"desired_state":{"last_updated":"now"},"session":""}`},
		{"artifacts reset the counters, even given ones", `{"desired_state":{"boot_artifacts":{}},"session":"s","event_stats":{"power_on_attempts":5}}`,
			`{"desired_state":{"boot_artifacts":{},"last_updated":"now"},"session":"s","event_stats":{"power_on_attempts":0,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0}}`},
		{"a configuration as well", `{"desired_state":{"configuration":""},"session":"s"}`,
			`{"desired_state":{"configuration":"","last_updated":"now"},"session":"s","event_stats":{"power_on_attempts":0,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0}}`},
		{"staged state and last action are always stamped", `{"staged_state":{},"last_action":{}}`,
			`{"staged_state":{"last_updated":"now"},"last_action":{"last_updated":"now"}}`},
		{"enabled is on hold", `{"enabled":true,"status":{"status_override":"failed","phase":"configuring"}}`,
			`{"enabled":true,"status":{"status_override":"on_hold","phase":"configuring"}}`},
		{"disabled changes nothing", `{"enabled":false}`, `{"enabled":false}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fromJSON[bos.Component](t, tt.in)
			autoFields(&c, "now", resolve)
			sameJSON(t, c, tt.want)
		})
	}
}

func TestMayReport(t *testing.T) {
	for _, tt := range []struct {
		name, stored string
		want         bool
	}{
		{"no enabled", `{}`, true},
		{"disabled", `{"enabled":false,"status":{"status_override":"on_hold"}}`, true},
		{"stable", `{"enabled":true,"status":{"phase":"","status_override":""}}`, true},
		{"on hold", `{"enabled":true,"status":{"status_override":"on_hold"},"last_action":{"action":"session_setup"}}`, false},
		{"on hold without an action", `{"enabled":true,"status":{"status_override":"on_hold"}}`, false},
		{"failed", `{"enabled":true,"status":{"status_override":"failed"}}`, false},
		{"powering off", `{"enabled":true,"status":{"phase":"powering_off"}}`, false},
		{"powered on", `{"enabled":true,"status":{"phase":"powering_on"},"last_action":{"action":"powering_on"}}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fromJSON[bos.Component](t, tt.stored)
			if got := mayReport(&c); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct{ name, stored, want string }{
		{"no status", `{"id":"a"}`, `{"id":"a","status":{"phase":"","status_override":"","status":"stable"}}`},
		{"no phase is added", `{"id":"a","status":{"status_override":"on_hold"}}`, `{"id":"a","status":{"status_override":"on_hold","status":"on_hold"}}`},
		{"a stored status is not believed", `{"id":"a","status":{"phase":"configuring","status":"stable"}}`, `{"id":"a","status":{"phase":"configuring","status":"configuring"}}`},
		{"the timestamp is hidden", `{"id":"a","status":{},"actual_state":{"boot_artifacts":{"kernel":"k","timestamp":"then"}}}`,
			`{"id":"a","status":{"status":"stable"},"actual_state":{"boot_artifacts":{"kernel":"k"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fromJSON[bos.Component](t, tt.stored)
			complete(&c)
			sameJSON(t, c, tt.want)
		})
	}
}
