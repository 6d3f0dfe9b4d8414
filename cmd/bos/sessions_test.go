package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bostest"
)

// TestCancelCommand cancels a session as an administrator does, from a pause to the exit codes.
func TestCancelCommand(t *testing.T) {
	f := bostest.NewServer(t, bostest.Options{})
	template := bos.SessionTemplate{BootSets: map[string]bos.BootSet{"all": {Path: "s3://boot-images/img1/manifest.json", Type: "s3", NodeGroups: []string{"g"}}}}
	if _, err := f.Service.PutTemplate(t.Context(), bos.TenantKey{Name: "t"}, template); err != nil {
		t.Fatal(err)
	}
	call := func(wantCode int, wantOut string, args ...string) string {
		t.Helper()
		code, stdout, stderr := bosCommand(t, map[string]string{"BOS_API_URL": f.URL}, args...)
		if code != wantCode || !strings.Contains(stdout+stderr, wantOut) || strings.Count(stdout+stderr, "\n") < 1 {
			t.Errorf("bos %s: exit %d, want %d and %q\n%s%s", strings.Join(args, " "), code, wantCode, wantOut, stdout, stderr)
		}
		return stdout
	}
	create := []string{"sessions", "create", "--template", "t", "--operation", "boot", "--name", "s1"}
	call(0, "paused", "settings", "update", "paused=true")
	call(1, "bos settings update paused=false", create...)
	call(2, "resumed_at", "settings", "update", "resumed_at=now")
	call(0, "resumed_at", "settings", "update", "paused=false", "max_session_time=3600")
	call(0, "pending", create...)
	for _, id := range []bos.ComponentID{"a", "b"} {
		if _, err := f.Service.PutComponent(t.Context(), id, bos.Component{Session: new("s1"), Enabled: new(true)}); err != nil {
			t.Fatal(err)
		}
	}
	call(2, "NAME is missing", "sessions", "cancel")
	call(1, "Session 'nosuch' does not exist", "sessions", "cancel", "nosuch")
	if got, want := call(0, "", "sessions", "cancel", "s1", "--reason", "wrong image"), "session s1 is canceled: 2 components disabled\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	var again bos.SessionCanceled
	if err := json.Unmarshal([]byte(call(0, "", "sessions", "cancel", "s1", "-o", "json")), &again); err != nil || again != (bos.SessionCanceled{Name: "s1"}) {
		t.Errorf("again: %+v, %v", again, err)
	}
	call(1, "session s1 was canceled: wrong image", "sessions", "status", "s1", "--watch")
	call(0, "paused", "settings", "update", "paused=true")
	call(1, "BOS is paused", "sessions", "status", "s1", "--watch")
	call(0, "canceled: wrong image", "components", "list", "--session", "s1")
}

func TestChangeLine(t *testing.T) {
	for _, tc := range []struct {
		change bos.Change
		want   string
	}{
		{bos.Change{Kind: bos.ChangeComponent, ID: "x1", Status: "stable", Fields: []string{"enabled", "error"}}, "component x1 stable changed enabled,error"},
		{bos.Change{Kind: bos.ChangeComponent, ID: "x1", Status: "stable"}, "component x1 stable written again"},
		{bos.Change{Kind: bos.ChangeResync}, "resync some changes may be missing here"},
		{bos.Change{Kind: bos.ChangeSession, ID: "s", Deleted: true, Fields: []string{"status"}}, "session s deleted"},
	} {
		if got := strings.Join(strings.Fields(changeLine(tc.change)), " "); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
