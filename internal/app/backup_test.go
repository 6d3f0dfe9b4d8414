package app

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeterSpeaksNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := meter{out: &out}
		for range 100 { // ten seconds
			m.read++
			m.show()
			time.Sleep(100 * time.Millisecond)
		}
		if got := strings.Split(strings.TrimSpace(out.String()), "\n"); len(got) != 4 || got[0] != "21 records read, 0 written …" {
			t.Errorf("it said %q", got)
		}
	})
}

func TestStoreURLsHideTheirPasswords(t *testing.T) {
	for _, url := range []string{
		"redis://u:secret@h:1", "redis://:secret@h", "rediss+sentinel://:secret@h1:1,h2:2/m", "redis+sentinel://h/m?sentinel_password=secret",
		"redis://u:secret%zz@h", "redis://u:sec ret@h",
	} {
		if !hasPassword(url) {
			t.Errorf("%s: no password found", url)
		}
		if shown := redactURL(url); strings.Contains(shown, "secret") || strings.Contains(shown, "sec") && strings.Contains(shown, "ret") {
			t.Errorf("%s is shown as %s", url, shown)
		}
	}
	for _, url := range []string{"", "memory:", "bolt:/var/lib/b@s/bos.db", "redis://h:1", "redis://u@h:1", "redis+sentinel://h1,h2/m"} {
		if hasPassword(url) {
			t.Errorf("%s: a password found", url)
		}
	}
}
