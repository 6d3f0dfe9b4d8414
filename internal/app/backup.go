package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/sanitize"
)

// StoreFlag is a store URL from a flag or, where it has a password, from the environment.
type StoreFlag struct {
	Name  string // of the flag, without dashes
	Env   string // of the variable
	URL   string
	Given bool // it was among the arguments
}

// Check refuses what the tools for whole databases cannot work on.
func (f *StoreFlag) Check() error {
	switch {
	case f.URL == "":
		return UsageErrorf("--%s is missing: bolt:PATH, redis://HOST:PORT, … (or $%s)", f.Name, f.Env)
	case f.Given && hasPassword(f.URL):
		return UsageErrorf("--%s with a password can be read by every user of this machine: put it in $%s", f.Name, f.Env)
	case f.URL == "memory:":
		return UsageErrorf("--%s memory: keeps nothing", f.Name)
	}
	return nil
}

// String names the database without its password.
func (f *StoreFlag) String() string { return redactURL(f.URL) }

// boltPath returns the file of an embedded store.
func boltPath(rawURL string) (path string, ok bool) {
	path, ok = strings.CutPrefix(rawURL, "bolt:")
	return strings.TrimPrefix(path, "//"), ok && path != ""
}

// open opens the database and makes sure that it answers. What is done to it shows on progress.
func (f *StoreFlag) open(ctx context.Context, progress io.Writer) (store.Driver, error) {
	st, err := OpenStore(ctx, f.URL, discard())
	if err != nil {
		return nil, err
	}
	db, ok := st.(*store.DB)
	if !ok {
		return nil, fmt.Errorf("%s is no database that can be copied", f)
	}
	if err := db.Ping(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", f, errors.Join(err, db.Close()))
	}
	return &metered{Driver: db.Driver(), meter: meter{out: progress}}, nil
}

// exists fails for a file that is not there, which opening would create.
func (f *StoreFlag) exists() error {
	if path, ok := boltPath(f.URL); ok {
		if _, err := os.Stat(path); err != nil {
			return UsageErrorf("--%s: there is no such store: %v", f.Name, err)
		}
	}
	return nil
}

// dump writes the content of the database to w. A file that a running server has open is read through that server.
func (f *StoreFlag) dump(ctx context.Context, w, progress io.Writer) (records int, err error) {
	if err := f.exists(); err != nil {
		return 0, err
	}
	if path, ok := boltPath(f.URL); ok {
		if conn, err := dialBackup(ctx, path); err == nil {
			defer conn.Close()
			s, err := store.ParseDump(io.TeeReader(conn, w))
			if err != nil {
				return 0, fmt.Errorf("%s: from the server that has it open: %w", f, err)
			}
			return s.Total(), nil
		}
	}
	d, err := f.open(ctx, progress)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return store.Dump(ctx, d, w)
}

// snapshot reads the content of the database.
func (f *StoreFlag) snapshot(ctx context.Context, progress io.Writer) (*store.Snapshot, error) {
	out, in := io.Pipe()
	dumped := make(chan error, 1)
	go func() {
		_, err := f.dump(ctx, in, progress)
		in.CloseWithError(err)
		dumped <- err
	}()
	s, err := store.ParseDump(out)
	out.CloseWithError(err)
	if err := <-dumped; err != nil {
		return nil, err // the cause of what ParseDump saw
	}
	return s, err
}

// Backup writes the database to a file, which appears under its name when it is complete; "-" is stdout.
func Backup(ctx context.Context, from *StoreFlag, file string, stdout, progress io.Writer) error {
	if err := from.Check(); err != nil {
		return err
	}
	records, target := 0, "standard output"
	write := func(w io.Writer) (err error) {
		records, err = from.dump(ctx, w, progress)
		return err
	}
	var err error
	if file == "-" {
		err = write(stdout)
	} else {
		target = file
		err = replaceFile(file, write)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "%d records of %s written to %s\n", records, from, target)
	return nil
}

// replaceFile writes a file for its owner alone. One of the same name stays until the new one is complete.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".bos-backup-*") // mode 0600
	if err != nil {
		if pathErr, ok := errors.AsType[*os.PathError](err); ok {
			err = pathErr.Err // of the temporary file's name nobody knows
		}
		return UsageErrorf("--out %s: no file can be made there: %v", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// CopyConfig says how a database is overwritten.
type CopyConfig struct {
	DryRun   bool // only say what would change
	Force    bool // overwrite and delete what is there
	Out      io.Writer
	Progress io.Writer
}

// Restore makes a database what a file of Backup says; "-" is stdin.
func Restore(ctx context.Context, to *StoreFlag, file string, stdin io.Reader, cfg CopyConfig) error {
	if err := to.Check(); err != nil {
		return err
	}
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return UsageErrorf("--in: %v", err)
		}
		defer f.Close()
		in = f
	}
	s, err := store.ParseDump(in)
	if err != nil {
		return fmt.Errorf("%s is no complete backup: %w", file, err)
	}
	d, err := to.target(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	return importInto(ctx, to, d, s, cfg)
}

// Migrate makes a database what another one is. Both have to answer before the work begins.
func Migrate(ctx context.Context, from, to *StoreFlag, cfg CopyConfig) error {
	for _, f := range []*StoreFlag{from, to} {
		if err := f.Check(); err != nil {
			return err
		}
	}
	if sameDatabase(from.URL, to.URL) {
		return UsageErrorf("--%s and --%s name the same database", from.Name, to.Name)
	}
	if err := from.answers(ctx); err != nil {
		return err
	}
	d, err := to.target(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	s, err := from.snapshot(ctx, cfg.Progress)
	if err != nil {
		return err
	}
	fmt.Fprintf(cfg.Progress, "%d records read from %s\n", s.Total(), from)
	return importInto(ctx, to, d, s, cfg)
}

// sameDatabase reports whether two URLs name one database, as far as can be seen without opening it.
func sameDatabase(a, b string) bool {
	pathA, boltA := boltPath(a)
	pathB, boltB := boltPath(b)
	if boltA && boltB {
		infoA, errA := os.Stat(pathA)
		infoB, errB := os.Stat(pathB)
		return errA == nil && errB == nil && os.SameFile(infoA, infoB) || filepath.Clean(pathA) == filepath.Clean(pathB)
	}
	return a == b
}

// answers fails where dump could not even begin.
func (f *StoreFlag) answers(ctx context.Context) error {
	if err := f.exists(); err != nil {
		return err
	}
	if path, ok := boltPath(f.URL); ok {
		if _, err := os.Stat(backupSocket(path)); err == nil {
			return nil // a server has it open
		}
	}
	d, err := f.open(ctx, io.Discard)
	if err != nil {
		return err
	}
	return d.Close()
}

// target opens the database to write. For a dry run one that does not exist yet is not made.
func (f *StoreFlag) target(ctx context.Context, cfg CopyConfig) (store.Driver, error) {
	if path, ok := boltPath(f.URL); ok && cfg.DryRun && f.exists() != nil {
		return memstore.NewDriver(), checkBoltPath(path) // as empty as the file would be
	}
	return f.open(ctx, cfg.Progress)
}

// importInto shows the difference, restores and checks the result.
func importInto(ctx context.Context, to *StoreFlag, d store.Driver, s *store.Snapshot, cfg CopyConfig) error {
	diff, err := store.Compare(ctx, d, s)
	if err != nil {
		return err
	}
	if err := printDiff(ctx, cfg.Out, d, diff); err != nil {
		return err
	}
	if cfg.DryRun {
		fmt.Fprintln(cfg.Progress, "nothing was written")
		return nil
	}
	if _, err := store.Restore(ctx, d, s, cfg.Force); err != nil {
		if !cfg.Force && diff.Drops() > 0 {
			err = fmt.Errorf("%w (--force does it nevertheless; take a backup first)", err)
		}
		return err
	}
	left, err := store.Compare(ctx, d, s)
	if err != nil {
		return err
	}
	if n := left.Adds() + left.Drops(); n > 0 {
		return fmt.Errorf("%d records are not what was written: something else writes to %s; stop it and run this again", n, to)
	}
	fmt.Fprintf(cfg.Progress, "%d records of %s are as they should be\n", s.Total(), to)
	return nil
}

// listed is how many of the records that would be lost are named.
const listed = 20

// printDiff shows how many records change, and names those whose present content would be lost.
func printDiff(ctx context.Context, out io.Writer, d store.Driver, diff *store.Diff) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tnew\tchanged\tdeleted\t")
	for _, b := range store.Buckets() {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t\n", b, len(diff.Added[b]), len(diff.Changed[b]), len(diff.Removed[b]))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records are the same\n", diff.Same)
	shown := 0
	for _, b := range store.Buckets() {
		for _, lost := range []struct {
			how  string
			keys []string
		}{{"changed", diff.Changed[b]}, {"deleted", diff.Removed[b]}} {
			keys := lost.keys[:min(len(lost.keys), listed-shown)]
			if len(keys) == 0 {
				continue
			}
			shown += len(keys)
			values, err := d.Get(ctx, b, keys)
			if err != nil {
				return err
			}
			for i, key := range keys {
				fmt.Fprintf(out, "%s: %s %s\n", lost.how, b, recordName(b, key, values[i]))
			}
		}
	}
	if more := diff.Drops() - shown; more > 0 {
		fmt.Fprintf(out, "and %d more\n", more)
	}
	return nil
}

// Sanitize repairs or takes out the records that the API would not accept, and says what it does.
func Sanitize(ctx context.Context, st *StoreFlag, dryRun bool, out, progress io.Writer) error {
	if err := st.Check(); err != nil {
		return err
	}
	if err := st.exists(); err != nil {
		return err
	}
	d, err := st.open(ctx, progress)
	if err != nil {
		return err
	}
	defer d.Close()
	actions, err := sanitize.Run(ctx, d, nil, dryRun)
	deleted := 0
	for _, a := range actions {
		fmt.Fprintln(out, a)
		if a.NewKey != "" || a.Left {
			continue
		}
		deleted++
		if a.Bucket == store.BucketTemplates || a.Bucket == store.BucketSessions { // the others may hold a BSS token
			fmt.Fprintf(out, "  it was: %s\n", a.Old)
		}
	}
	if err != nil {
		return err
	}
	done := "done"
	if dryRun {
		done = "nothing was written"
	}
	fmt.Fprintf(progress, "%d records to repair or report, %d to delete; %s\n", len(actions)-deleted, deleted, done)
	return nil
}

// recordName names a record for people.
func recordName(b store.Bucket, key string, value []byte) string {
	switch b {
	case store.BucketTemplates, store.BucketSessions, store.BucketStatuses:
		if name := nameIn(value); name != "" {
			return name
		}
	case store.BucketArtifacts:
		return "of a BSS token" // a secret
	}
	return key
}

// nameIn returns the name and tenant that a record holds.
func nameIn(value []byte) string {
	var r struct {
		Name   string `json:"name"`
		Tenant string `json:"tenant"`
	}
	if json.Unmarshal(value, &r) != nil || r.Name == "" {
		return ""
	}
	return bos.TenantKey{Tenant: r.Tenant, Name: r.Name}.String()
}

// meterStep is how often a meter moves.
const meterStep = 2 * time.Second

// meter tells how long work goes on.
type meter struct {
	out           io.Writer
	read, written int
	last          time.Time
}

func (m *meter) show() {
	switch now := time.Now(); {
	case m.last.IsZero():
		m.last = now
	case now.Sub(m.last) >= meterStep:
		m.last = now
		fmt.Fprintf(m.out, "%d records read, %d written …\n", m.read, m.written)
	}
}

// metered is a driver that tells a meter what it does. It is used by one goroutine.
type metered struct {
	store.Driver
	meter meter
}

func (d *metered) Scan(ctx context.Context, b store.Bucket, after string, limit int) store.Entries {
	return func(yield func(store.Entry, error) bool) {
		for e, err := range d.Driver.Scan(ctx, b, after, limit) {
			d.meter.read++
			d.meter.show()
			if !yield(e, err) {
				return
			}
		}
	}
}

func (d *metered) Commit(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	lost, err := d.Driver.Commit(ctx, writes, atomic)
	d.meter.written += len(writes)
	d.meter.show()
	return lost, err
}
