package main

import (
	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/internal/app"
)

// storeFlag defines a flag for the URL of a database. Its default is not shown: it may hold a password.
func (e *env) storeFlag(c *cobra.Command, name, variable, usage string) *app.StoreFlag {
	f := &app.StoreFlag{Name: name, Env: variable}
	c.Flags().StringVar(&f.URL, name, "", usage+": bolt:PATH, redis://HOST:PORT, …; a URL with a password only from the environment [$"+variable+"]")
	return f
}

// readStoreFlags completes the flags once the arguments are known.
func (e *env) readStoreFlags(c *cobra.Command, flags ...*app.StoreFlag) {
	for _, f := range flags {
		if f.Given = c.Flags().Changed(f.Name); !f.Given {
			f.URL = e.getenv(f.Env)
		}
	}
}

// copyFlags defines the flags of what overwrites a database.
func (e *env) copyFlags(c *cobra.Command) *app.CopyConfig {
	cfg := &app.CopyConfig{Out: e.stdout, Progress: e.stderr}
	c.Flags().BoolVar(&cfg.DryRun, "dry-run", false, "only show what would change")
	c.Flags().BoolVar(&cfg.Force, "force", false, "overwrite and delete what the database holds and the import does not")
	return cfg
}

func newBackup(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "backup", Short: "Write a database to a file",
		Long: `Write all records of a database to one file. An embedded store may be in use by a server of this machine. Each record is
as it was at some moment while the backup ran: stop the API servers for one moment of all.

The file holds BSS tokens: keep it as safe as the database.`,
		Example: `  bos backup --store bolt:/var/lib/bos/bos.db --out bos.dump
  BOS_STORE=redis://:secret@cray-bos-db:6379 bos backup --out - | zstd > bos.dump.zst`,
		Args: exactly(),
	}
	from := e.storeFlag(c, "store", "BOS_STORE", "database to read")
	var out string
	c.Flags().StringVar(&out, "out", "", "file to write, replaced when the backup is complete; - = standard output")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if out == "" {
			return app.UsageErrorf("--out is missing: a file, or - for standard output")
		}
		e.readStoreFlags(c, from)
		return app.Backup(c.Context(), from, out, e.stdout, e.stderr)
	}
	return c
}

func newRestore(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "restore", Short: "Make a database what a backup says",
		Long: `Show what a backup would change in a database, and change it. Unless --force is given, nothing is written where
something would be overwritten or deleted. Stop everything that uses the database first.`,
		Example: `  bos restore --store redis://cray-bos-db:6379 --in bos.dump --dry-run`,
		Args:    exactly(),
	}
	to := e.storeFlag(c, "store", "BOS_STORE", "database to write")
	cfg := e.copyFlags(c)
	var in string
	c.Flags().StringVar(&in, "in", "", "file of bos backup; - = standard input")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if in == "" {
			return app.UsageErrorf("--in is missing: a file of bos backup, or - for standard input")
		}
		e.readStoreFlags(c, to)
		return app.Restore(c.Context(), to, in, c.InOrStdin(), *cfg)
	}
	return c
}

func newMigrate(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "migrate", Short: "Copy one database into another",
		Long:    `Make a database what another one is, like a backup and a restore at once. Stop everything that uses either first.`,
		Example: `  bos migrate --from redis://cray-bos-db:6379 --to bolt:/var/lib/bos/bos.db --dry-run`,
		Args:    exactly(),
	}
	from := e.storeFlag(c, "from", "BOS_FROM_STORE", "database to read")
	to := e.storeFlag(c, "to", "BOS_TO_STORE", "database to write")
	cfg := e.copyFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		e.readStoreFlags(c, from, to)
		return app.Migrate(c.Context(), from, to, *cfg)
	}
	return c
}

func newSanitize(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "sanitize", Short: "Repair or take out records that the API would not accept",
		Long: `Go through a database of an older release, as the reference's migration job does: templates are repaired, renamed or
moved, and what cannot be repaired is deleted. Nothing is deleted before its replacement is stored. Look with --dry-run and
take a backup first.`,
		Example: `  bos sanitize --store redis://cray-bos-db:6379 --dry-run`,
		Args:    exactly(),
	}
	st := e.storeFlag(c, "store", "BOS_STORE", "database to work on")
	dryRun := c.Flags().Bool("dry-run", false, "only show what would change")
	c.RunE = func(c *cobra.Command, _ []string) error {
		e.readStoreFlags(c, st)
		return app.Sanitize(c.Context(), st, *dryRun, e.stdout, e.stderr)
	}
	return c
}
