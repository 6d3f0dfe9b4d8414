package boltstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
	"github.com/bootorch/bosgo/store/storetest"
)

func open(t *testing.T, path string) *store.DB {
	t.Helper()
	st, err := boltstore.Open(path, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func TestConformance(t *testing.T) {
	paths := map[store.Store]string{}
	storetest.Run(t, func(t *testing.T) store.Store {
		path := filepath.Join(t.TempDir(), "state", "bos.db")
		st := open(t, path)
		paths[st] = path
		return st
	}, storetest.Caps{
		Reopen: func(t *testing.T, st store.Store) store.Store {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, paths[st])
		},
	})
}

func TestModel(t *testing.T) {
	storetest.Model(t, func(t *testing.T) store.Store { return open(t, filepath.Join(t.TempDir(), "bos.db")) })
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name string, fill func(tx *bbolt.Tx) error) string {
		path := filepath.Join(dir, name)
		db, err := bbolt.Open(path, 0o600, nil)
		if err == nil {
			err = errors.Join(db.Update(fill), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	meta := func(format, schema string) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("meta"))
			return errors.Join(err, b.Put([]byte("format"), []byte(format)), b.Put([]byte("schema"), []byte(schema)))
		}
	}
	cut := filepath.Join(dir, "cut.db")
	full := open(t, cut)
	if _, err := full.Components().UpdateMany(t.Context(), manyIDs(2000), func(id bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
		c.ID = id
		return store.Write, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(full.Close(), os.Truncate(cut, 32<<10)); err != nil {
		t.Fatal(err)
	}
	held := filepath.Join(dir, "held.db")
	open(t, held)
	for _, row := range []struct {
		name, path string
		is         error
		want       string
	}{
		{"no name", "", bos.ErrInvalid, "file name is needed"},
		{"held by another", held, bos.ErrUnavailable, "another process has this store open"},
		{"not a database", file("text", []byte(strings.Repeat("text ", 10_000))), nil, "not a BOS store"},
		{"a short file", file("short", []byte("text")), nil, "not a BOS store"},
		{"a database of another program", database("other", func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err }), nil, "another program"},
		{"another program's meta", database("meta", meta("something", "1")), nil, "another program"},
		{"a file that was cut off", cut, nil, "damaged"},
		{"newer schema", database("newer", meta("bosgo store", "2")), nil, "schema 2, this release knows 1"},
		{"no schema", database("none", meta("bosgo store", "")), nil, "does not say its schema"},
		{"a directory", dir, nil, "is a directory"},
		{"a file for a directory", filepath.Join(file("flat", nil), "bos.db"), nil, "not a directory"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := boltstore.Open(row.path, store.Config{})
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), row.path) {
				t.Errorf("Open = %v, want an error about %q that names the file", err, row.want)
			}
			if row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("Open = %v, want %v", err, row.is)
			}
		})
	}
}

func manyIDs(n int) (ids []bos.ComponentID) {
	for i := range n {
		ids = append(ids, bos.ComponentID(fmt.Sprintf("x%06d", i)))
	}
	return ids
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	open(t, filepath.Join(dir, "bos.db"))
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "bos.db"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

// TestKill kills a process while it writes; what it had been told is stored must be there.
func TestKill(t *testing.T) {
	const pathVariable = "BOLTSTORE_TEST_KILL"
	if path := os.Getenv(pathVariable); path != "" { // the process to be killed
		st := open(t, path)
		for n := 0; ; n++ {
			id := bos.ComponentID(fmt.Sprintf("x%06d", n))
			if err := st.Components().Create(t.Context(), id, bos.Component{ID: id}); err != nil {
				t.Fatal(err)
			}
			fmt.Println("stored", id)
		}
	}
	path := filepath.Join(t.TempDir(), "bos.db")
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), pathVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stored []bos.ComponentID
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "stored "); ok {
			stored = append(stored, bos.ComponentID(id))
		}
		if len(stored) == 50 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if len(stored) < 50 {
		t.Fatalf("the other process stored only %d records", len(stored))
	}
	found, err := open(t, path).Components().GetMany(t.Context(), stored)
	if err != nil || len(found) != len(stored) {
		t.Errorf("after the kill %d of %d stored records are there, %v", len(found), len(stored), err)
	}
}
