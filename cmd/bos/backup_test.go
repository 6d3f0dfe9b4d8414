package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// edit changes the records of a file: a value of nil deletes.
func edit(t *testing.T, path string, b store.Bucket, key string, value []byte) {
	t.Helper()
	d, err := boltstore.OpenDriver(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	old, err := d.Get(t.Context(), b, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	if lost, err := d.Commit(t.Context(), []store.Mutation{{Bucket: b, Key: key, Old: old[0], New: value}}, true); err != nil || len(lost) > 0 {
		t.Fatal(lost, err)
	}
}

// filled returns the file of a database with a record of each kind.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bos.db")
	edit(t, path, store.BucketOptions, "options", []byte(`{"clear_stage":true}`))
	edit(t, path, store.BucketComponents, "x1", []byte(`{"id":"x1","enabled":false,"unknown":[1]}`))
	edit(t, path, store.BucketTemplates, templateKey("t1"), []byte(`{"name":"t1","tenant":null,"boot_sets":{"c":{"path":"p","type":"s3","arch":"X86","node_groups":["g"]}}}`))
	edit(t, path, store.BucketSessions, templateKey("s1"), []byte(`{"name":"s1","tenant":"red"}`))
	edit(t, path, store.BucketStatuses, templateKey("s1"), []byte(`{"status":"complete"}`))
	edit(t, path, store.BucketArtifacts, "secret-token", []byte(`{"kernel":"k"}`))
	edit(t, path, store.BucketOurs, "bos:owner:x1", []byte(`{"session":"s1"}`))
	return path
}

func templateKey(name string) string { return bos.TenantKey{Name: name}.DatabaseKey() }

// backedUp returns what bos backup says of a database. Equal databases have equal backups.
func backedUp(t *testing.T, url string) string {
	t.Helper()
	code, stdout, stderr := bosCommand(t, nil, "backup", "--store", url, "--out", "-")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	return stdout
}

func TestBackupAndRestore(t *testing.T) {
	path := filled(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "bos.dump")
	if err := os.WriteFile(file, []byte("the backup of yesterday"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := bosCommand(t, map[string]string{"BOS_STORE": "bolt:" + path}, "backup", "--out", file)
	if code != 0 || stdout != "" || !strings.Contains(stderr, "7 records") || !strings.Contains(stderr, file) {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("beside the backup: %v", left)
	}

	copied := filepath.Join(t.TempDir(), "copy.db")
	restore := func(flags ...string) (int, string, string) {
		return bosCommand(t, nil, append([]string{"restore", "--store", "bolt:" + copied, "--in", file}, flags...)...)
	}
	if code, stdout, stderr := restore("--dry-run"); code != 0 || !strings.Contains(stderr, "nothing was written") || !strings.Contains(stdout, "components") {
		t.Errorf("dry run: exit %d: %s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(copied); err == nil {
		t.Error("a dry run made a store")
	}
	if code, stdout, stderr := restore(); code != 0 {
		t.Fatalf("restore: exit %d: %s%s", code, stdout, stderr)
	}
	want := backedUp(t, "bolt:"+path)
	if got := backedUp(t, "bolt:"+copied); got != want {
		t.Errorf("restored:\n%s\nwant:\n%s", got, want)
	}
	if code, stdout, stderr := restore(); code != 0 || !strings.Contains(stdout, "7 records are the same") {
		t.Errorf("restore of what is there: exit %d: %s%s", code, stdout, stderr)
	}

	// What the backup does not know, and what it knows otherwise, is not lost by accident.
	edit(t, copied, store.BucketTemplates, templateKey("newer"), []byte(`{"name":"newer"}`))
	edit(t, copied, store.BucketSessions, templateKey("s1"), []byte(`{"name":"s1","tenant":"red","status":{}}`))
	edit(t, copied, store.BucketArtifacts, "other-token", []byte(`{}`))
	changed := backedUp(t, "bolt:"+copied)
	for _, flags := range [][]string{nil, {"--dry-run"}} {
		code, stdout, stderr := restore(flags...)
		if wantCode := 1 - len(flags); code != wantCode {
			t.Errorf("restore %v: exit %d, want %d", flags, code, wantCode)
		}
		for _, text := range []string{"deleted: templates newer\n", "changed: sessions s1 (tenant red)\n", "deleted: artifacts of a BSS token\n"} {
			if !strings.Contains(stdout, text) {
				t.Errorf("restore %v does not say %q:\n%s", flags, text, stdout)
			}
		}
		if flags == nil && (!strings.Contains(stderr, "--force") || strings.Count(stderr, "\n") != 1) {
			t.Errorf("stderr: %s", stderr)
		}
		if strings.Contains(stdout+stderr, "-token") {
			t.Errorf("a token is shown:\n%s%s", stdout, stderr)
		}
	}
	if got := backedUp(t, "bolt:"+copied); got != changed {
		t.Error("a restore that was refused has changed the database")
	}
	if code, _, stderr := restore("--force"); code != 0 {
		t.Errorf("with --force: exit %d: %s", code, stderr)
	}
	if got := backedUp(t, "bolt:"+copied); got != want {
		t.Errorf("restored with --force:\n%s\nwant:\n%s", got, want)
	}
}

func TestRestoreNamesNoMoreThanAFew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bos.db")
	for _, id := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		edit(t, path, store.BucketComponents, id, []byte(`{}`))
	}
	empty := filepath.Join(t.TempDir(), "empty.dump")
	other := filepath.Join(t.TempDir(), "empty.db")
	edit(t, other, store.BucketOptions, "x", nil)
	bosCommand(t, nil, "backup", "--store", "bolt:"+other, "--out", empty)
	code, stdout, _ := bosCommand(t, nil, "restore", "--store", "bolt:"+path, "--in", empty)
	if n := strings.Count(stdout, "deleted: components"); code != 1 || n != 20 || !strings.Contains(stdout, "and 6 more") {
		t.Errorf("exit %d, %d named:\n%s", code, n, stdout)
	}
}

func TestMigrateToRedisAndBack(t *testing.T) {
	path := filled(t)
	redis := storetest.NewRedis(t)
	back := filepath.Join(t.TempDir(), "back.db")
	for _, step := range [][2]string{{"bolt:" + path, redis}, {redis, "bolt:" + back}} {
		env := map[string]string{"BOS_FROM_STORE": step[0], "BOS_TO_STORE": step[1]}
		if code, stdout, stderr := bosCommand(t, env, "migrate"); code != 0 || !strings.Contains(stderr, "as they should be") {
			t.Fatalf("%v: exit %d: %s%s", step, code, stdout, stderr)
		}
	}
	if got, want := backedUp(t, "bolt:"+back), backedUp(t, "bolt:"+path); got != want {
		t.Errorf("there and back:\n%s\nwant:\n%s", got, want)
	}
	edit(t, path, store.BucketComponents, "x1", []byte(`{"id":"x1"}`))
	if code, stdout, _ := bosCommand(t, nil, "migrate", "--from", "bolt:"+path, "--to", redis); code != 1 || !strings.Contains(stdout, "changed: components x1") {
		t.Errorf("over another record: exit %d: %s", code, stdout)
	}
}

// TestBackupOfAServer backs up a file that a server has open.
func TestBackupOfAServer(t *testing.T) {
	path := filled(t)
	want := backedUp(t, "bolt:"+path)
	cfg, err := app.ParseAPIFlags([]string{"--store", "bolt:" + path, "--listen", "127.0.0.1:0"}, func(string) string { return "" }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	said, stderr := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- app.RunAPI(ctx, cfg, stderr) }()
	ready := make(chan struct{})
	go func() {
		var seen bytes.Buffer
		buf := make([]byte, 4096)
		for {
			n, err := said.Read(buf)
			was := strings.Contains(seen.String(), "listening on")
			seen.Write(buf[:n])
			if !was && strings.Contains(seen.String(), "listening on") {
				close(ready)
			}
			if err != nil {
				return
			}
		}
	}()
	defer stderr.Close()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	if got := backedUp(t, "bolt:"+path); got != want {
		t.Errorf("backed up:\n%s\nwant:\n%s", got, want)
	}
	if info, err := os.Stat(path + ".sock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	code, _, errs := bosCommand(t, nil, "sanitize", "--store", "bolt:"+path)
	if code != 1 || !strings.Contains(errs, "another process has this store open") {
		t.Errorf("sanitize under a server: exit %d: %s", code, errs)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := backedUp(t, "bolt:"+path); got != want {
		t.Errorf("backed up after the server has ended:\n%s\nwant:\n%s", got, want)
	}
}

// TestBackupBesideADeadSocket is what a server that was killed leaves behind.
func TestBackupBesideADeadSocket(t *testing.T) {
	path := filled(t)
	ln, err := net.Listen("unix", path+".sock")
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if got := backedUp(t, "bolt:"+path); !strings.Contains(got, `"x1"`) {
		t.Errorf("backed up: %s", got)
	}
}

// TestMigrateAsksTheTargetFirst: a database that does not answer is found out before another is read for minutes, and a
// source that does not answer makes no target.
func TestMigrateAsksTheTargetFirst(t *testing.T) {
	code, _, stderr := bosCommand(t, nil, "migrate", "--from", "bolt:"+filled(t), "--to", "redis://127.0.0.1:1")
	if code != 1 || !strings.Contains(stderr, "127.0.0.1:1") || strings.Contains(stderr, "records read") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	target := filepath.Join(t.TempDir(), "bos.db")
	code, _, stderr = bosCommand(t, nil, "migrate", "--from", "redis://127.0.0.1:1", "--to", "bolt:"+target)
	if code != 1 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a migration without a source made a target")
	}
}

func TestSanitizeCommand(t *testing.T) {
	path := filled(t)
	edit(t, path, store.BucketTemplates, templateKey("bad name"), []byte(`{"name":"bad name","boot_sets":{"c":{"path":"p","type":"s3","node_groups":["g"]}}}`))
	edit(t, path, store.BucketTemplates, "wrong", []byte(`{"boot_sets":{}}`))
	edit(t, path, store.BucketSessions, templateKey("s1"), []byte(`{"name":"s1","tenant":null}`))
	edit(t, path, store.BucketComponents, "x2", []byte(`{"id":"x3","actual_state":{"bss_token":"secret-token"}}`))
	before := backedUp(t, "bolt:"+path)
	code, plan, stderr := bosCommand(t, nil, "sanitize", "--store", "bolt:"+path, "--dry-run")
	if code != 0 || !strings.Contains(stderr, "nothing was written") || !strings.Contains(plan, `it was: {"boot_sets":{}}`) || !strings.Contains(plan, "components x2: delete") {
		t.Errorf("exit %d: %s%s", code, plan, stderr)
	}
	if backedUp(t, "bolt:"+path) != before {
		t.Error("a dry run has changed the database")
	}
	code, did, stderr := bosCommand(t, nil, "sanitize", "--store", "bolt:"+path)
	if code != 0 || did != plan {
		t.Errorf("exit %d: %s%s, planned:\n%s", code, did, stderr, plan)
	}
	if strings.Contains(plan+did+stderr, "secret-token") {
		t.Error("a token is shown")
	}
	if after := backedUp(t, "bolt:"+path); !strings.Contains(after, "auto_renamed_bad_name") || strings.Contains(after, `"x2"`) {
		t.Errorf("sanitised:\n%s", after)
	}
	if code, again, _ := bosCommand(t, nil, "sanitize", "--store", "bolt:"+path); code != 0 || again != "" {
		t.Errorf("a second time: exit %d: %s", code, again)
	}
}

func TestBackupErrors(t *testing.T) {
	path := filled(t)
	dump := writeFile(t, "bos.dump", backedUp(t, "bolt:"+path))
	whole, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	cut := writeFile(t, "cut.dump", string(whole[:len(whole)-100]))
	altered := writeFile(t, "altered.dump", strings.Replace(string(whole), `"x1"`, `"x7"`, 1))
	newer := writeFile(t, "newer.dump", strings.Replace(string(whole), `"version":1`, `"version":9`, 1))
	noStore := "bolt:" + filepath.Join(t.TempDir(), "none.db")
	absent := filepath.Join(t.TempDir(), "no", "such")
	kept := writeFile(t, "kept.dump", "kept")
	const secret = "hunter2"
	for _, row := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		want []string
	}{
		{"no store", nil, []string{"backup", "--out", "x"}, 2, []string{"--store is missing", "$BOS_STORE"}},
		{"no file", nil, []string{"backup", "--store", "bolt:" + path}, 2, []string{"--out is missing"}},
		{"no input", nil, []string{"restore", "--store", "bolt:" + path}, 2, []string{"--in is missing"}},
		{"absent input", nil, []string{"restore", "--store", "bolt:" + path, "--in", absent}, 2, []string{absent}},
		{"memory", nil, []string{"backup", "--store", "memory:", "--out", "-"}, 2, []string{"keeps nothing"}},
		{"unknown store", nil, []string{"backup", "--store", "mysql:x", "--out", "-"}, 2, []string{"mysql:x", "bolt:PATH"}},
		{"absent file", nil, []string{"backup", "--store", noStore, "--out", kept}, 2, []string{"none.db"}},
		{"absent file to migrate", nil, []string{"migrate", "--from", noStore, "--to", "bolt:" + path}, 2, []string{"none.db"}},
		{"absent file to sanitise", nil, []string{"sanitize", "--store", noStore}, 2, []string{"none.db"}},
		{"unwritable", nil, []string{"backup", "--store", "bolt:" + path, "--out", absent}, 2, []string{absent}},
		{"mistyped directory", nil, []string{"restore", "--store", "bolt:" + absent, "--in", dump}, 2, []string{"no directory", filepath.Dir(absent)}},
		{"mistyped directory, dry run", nil, []string{"restore", "--store", "bolt:" + absent, "--in", dump, "--dry-run"}, 2, []string{"no directory"}},
		{"directory", nil, []string{"backup", "--store", "bolt:" + filepath.Dir(path), "--out", "-"}, 2, []string{"is a directory"}},
		{"no database", nil, []string{"backup", "--store", "bolt:" + dump, "--out", "-"}, 1, []string{"not a BOS store"}},
		{"cut off", nil, []string{"restore", "--store", noStore, "--in", cut}, 1, []string{"cut off", cut}},
		{"altered", nil, []string{"restore", "--store", noStore, "--in", altered}, 1, []string{"altered"}},
		{"newer", nil, []string{"restore", "--store", noStore, "--in", newer}, 1, []string{"version 9"}},
		{"no dump", nil, []string{"restore", "--store", noStore, "--in", kept}, 1, []string{"line"}},
		{"no target", nil, []string{"migrate", "--from", "bolt:" + path}, 2, []string{"--to is missing", "$BOS_TO_STORE"}},
		{"the same", nil, []string{"migrate", "--from", "bolt:" + path, "--to", "bolt:" + path}, 2, []string{"the same database"}},
		{"the same by another name", nil, []string{"migrate", "--from", "bolt:" + path, "--to", "bolt:" + filepath.Dir(path) + "/./bos.db"}, 2, []string{"the same database"}},
		{"password in a flag", nil, []string{"backup", "--store", "redis://u:" + secret + "@127.0.0.1:1", "--out", "-"}, 2, []string{"put it in $BOS_STORE"}},
		{"password of sentinels in a flag", nil, []string{"migrate", "--from", "redis+sentinel://127.0.0.1:1/m?sentinel_password=" + secret, "--to", "bolt:x"}, 2, []string{"put it in $BOS_FROM_STORE"}},
		{"password, nobody listens", map[string]string{"BOS_STORE": "redis://u:" + secret + "@127.0.0.1:1"}, []string{"backup", "--out", "-"}, 1, []string{"127.0.0.1:1"}},
		{"password, unreadable URL", map[string]string{"BOS_TO_STORE": "redis://u:" + secret + "%zz@127.0.0.1:1"}, []string{"migrate", "--from", "bolt:" + path}, 2, []string{"redis URL"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, stdout, stderr := bosCommand(t, row.env, row.args...)
			if complaints := strings.Count("\n"+stderr, "\nbos: "); code != row.code || row.code == 2 && complaints != 1 {
				t.Errorf("exit %d, want %d: %s", code, row.code, stderr)
			}
			for _, want := range row.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr lacks %q: %s", want, stderr)
				}
			}
			if strings.Contains(stdout+stderr, secret) {
				t.Errorf("the password is shown: %s%s", stdout, stderr)
			}
		})
	}
	if data, err := os.ReadFile(kept); err != nil || string(data) != "kept" {
		t.Errorf("a backup that was not made replaced the one before: %q, %v", data, err)
	}
	help := map[string]string{"BOS_STORE": secret, "BOS_FROM_STORE": secret, "BOS_TO_STORE": secret}
	for _, command := range []string{"backup", "restore", "migrate", "sanitize", "serve"} {
		if _, stdout, stderr := bosCommand(t, help, command, "--help"); strings.Contains(stdout+stderr, secret) {
			t.Errorf("%s --help shows the environment's URL", command)
		}
	}
}
