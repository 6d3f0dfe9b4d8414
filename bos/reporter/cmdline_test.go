package reporter

import "testing"

func TestCommandLineValue(t *testing.T) {
	const line = "console=ttyS0,115200 quiet root=craycps-s3:s3://b/k:etag:dvs:api-gw:300:a=b " +
		"nmd_data=url=s3://b/rootfs,etag=abc xname=x1000c0s0b0n0\tnid=1 xname=x2000c0s0b0n0\n" +
		`quoted="with=sign" empty= "whole=word" lone=" bss_referral_token=dG9rZW4=` + "\n"
	c := ParseCommandLine(line)
	for _, tt := range []struct {
		key, want string
		found     bool
	}{
		{"xname", "x1000c0s0b0n0", true},
		{"XNAME", "", false},
		{"nid", "1", true},
		{"quiet", "", false},
		{"root", "craycps-s3:s3://b/k:etag:dvs:api-gw:300:a=b", true},
		{"nmd_data", "url=s3://b/rootfs,etag=abc", true},
		{"url", "", false},
		{"quoted", "with=sign", true},
		{"whole", "word", true},
		{"lone", `"`, true},
		{"empty", "", true},
		{"bss_referral_token", "dG9rZW4=", true},
		{"", "", false},
	} {
		if got, found := c.Value(tt.key); got != tt.want || found != tt.found {
			t.Errorf("Value(%q) = %q, %v; want %q, %v", tt.key, got, found, tt.want, tt.found)
		}
	}
}

func TestReadCommandLineMissing(t *testing.T) {
	if _, err := ReadCommandLine(t.TempDir() + "/cmdline"); err == nil {
		t.Error("no error for a file that does not exist")
	}
}
