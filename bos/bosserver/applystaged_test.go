package bosserver

import (
	"testing"

	"github.com/bootorch/bosgo/bos"
)

func TestApplyStage(t *testing.T) {
	const artifacts = `{"kernel":"k","kernel_parameters":"p","initrd":"i"}`
	const zero = `{"power_on_attempts":0,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0}`
	const none = `{"kernel":"","kernel_parameters":"","initrd":""}`
	for _, tt := range []struct {
		name, stored string
		operation    bos.Operation // empty = the session is gone
		clear        bool
		outcome      stageOutcome
		want         string
	}{
		{"nothing staged", `{"id":"a","staged_state":{"boot_artifacts":` + artifacts + `}}`, bos.OperationBoot, false, stageIgnored,
			`{"id":"a","staged_state":{"boot_artifacts":` + artifacts + `}}`},
		{"boot", `{"id":"a","desired_state":{"bss_token":"old"},"staged_state":{"session":"s","configuration":"c","boot_artifacts":` + artifacts + `}}`,
			bos.OperationBoot, false, stageApplied,
			`{"id":"a","enabled":true,"session":"s","event_stats":` + zero + `,"status":{"status_override":"on_hold"},"last_action":{"action":"apply_staged","last_updated":"now"},
			"desired_state":{"configuration":"c","boot_artifacts":` + artifacts + `,"last_updated":"now"},
			"staged_state":{"session":"s","configuration":"c","boot_artifacts":` + artifacts + `,"last_updated":"now"}}`},
		{"reboot empties the actual state", `{"id":"a","actual_state":{"bss_token":"t","boot_artifacts":` + artifacts + `},"staged_state":{"session":"s","boot_artifacts":` + artifacts + `}}`,
			bos.OperationReboot, true, stageApplied,
			`{"id":"a","enabled":true,"session":"s","event_stats":` + zero + `,"status":{"status_override":"on_hold"},"last_action":{"action":"apply_staged","last_updated":"now"},
			"actual_state":{"bss_token":"","boot_artifacts":` + none + `,"last_updated":"now"},
			"desired_state":{"configuration":"","boot_artifacts":` + artifacts + `,"last_updated":"now"},
			"staged_state":{"configuration":"","boot_artifacts":` + none + `,"last_updated":"now"}}`},
		{"boot without any artifacts means off", `{"id":"a","staged_state":{"session":"s"}}`, bos.OperationBoot, false, stageApplied,
			`{"id":"a","enabled":true,"session":"s","event_stats":` + zero + `,"status":{"status_override":"on_hold"},"last_action":{"action":"apply_staged","last_updated":"now"},
			"desired_state":{"configuration":"","boot_artifacts":` + none + `,"last_updated":"now"},"staged_state":{"session":"s","last_updated":"now"}}`},
		{"an empty set is copied as it is", `{"id":"a","staged_state":{"session":"s","boot_artifacts":{}}}`, bos.OperationBoot, false, stageApplied,
			`{"id":"a","enabled":true,"session":"s","event_stats":` + zero + `,"status":{"status_override":"on_hold"},"last_action":{"action":"apply_staged","last_updated":"now"},
			"desired_state":{"configuration":"","boot_artifacts":{},"last_updated":"now"},"staged_state":{"session":"s","boot_artifacts":{},"last_updated":"now"}}`},
		{"boot with an empty kernel", `{"id":"a","staged_state":{"session":"s","boot_artifacts":{"kernel":""}}}`, bos.OperationBoot, false, stageFailed,
			`{"id":"a","enabled":false,"session":"s","error":"Staged operation is boot but some boot artifacts have not been specified (session: s, tenant: ten1)",
			"last_action":{"action":"apply_staged","last_updated":"now"},"staged_state":{"session":"s","boot_artifacts":{"kernel":""},"last_updated":"now"}}`},
		{"shutdown with artifacts", `{"id":"a","enabled":true,"status":{"status_override":"on_hold"},"staged_state":{"session":"s","boot_artifacts":{"initrd":"i"}}}`,
			bos.OperationShutdown, false, stageFailed,
			`{"id":"a","enabled":false,"session":"s","error":"Staged operation is shutdown but boot artifacts have been specified (session: s, tenant: ten1)",
			"status":{"status_override":""},"last_action":{"action":"apply_staged","last_updated":"now"},"staged_state":{"session":"s","boot_artifacts":{"initrd":"i"},"last_updated":"now"}}`},
		{"session gone", `{"id":"a","last_action":{"action":"powering_on","failed":true},"staged_state":{"session":"s"}}`, "", false, stageFailed,
			`{"id":"a","enabled":false,"session":"s","error":"Staged session no longer exists (session: s, tenant: ten1)",
			"last_action":{"action":"apply_staged","failed":true,"last_updated":"now"},"staged_state":{"session":"s","last_updated":"now"}}`},
		{"unknown operation", `{"id":"a","staged_state":{"session":"s"}}`, "dance", false, stageFailed,
			`{"id":"a","enabled":false,"session":"s","error":"Invalid operation (dance) in staged session (session: s, tenant: ten1)",
			"last_action":{"action":"apply_staged","last_updated":"now"},"staged_state":{"session":"s","last_updated":"now"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fromJSON[bos.Component](t, tt.stored)
			var session *bos.Session
			if tt.operation != "" {
				session = &bos.Session{Name: "s", Operation: tt.operation}
			}
			got := applyStage(&c, session, "ten1", tt.clear, "now", func(bos.BSSToken) *bos.BootArtifacts { return nil })
			if got != tt.outcome {
				t.Errorf("outcome = %v, want %v", got, tt.outcome)
			}
			sameJSON(t, c, tt.want)
		})
	}
}
