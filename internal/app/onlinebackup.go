package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/bootorch/bosgo/store"
)

// An embedded store belongs to the server that has it open. So that it can be backed up while it runs, the server
// answers at a socket beside the file: whoever may read the file may connect, and gets a dump.

// backupSocket is where.
func backupSocket(boltPath string) string { return boltPath + ".sock" }

// offerBackups answers at the socket until ctx ends or end is called, where st is an embedded store. A server without the
// socket works all the same. When end returns there is no socket any more, and nobody reads st.
func offerBackups(ctx context.Context, storeURL string, st store.Store, log *slog.Logger) (end func()) {
	path, ok := boltPath(storeURL)
	db, isDB := st.(*store.DB)
	if !ok || !isDB {
		return func() {}
	}
	ln, err := listenPrivately(ctx, backupSocket(path))
	if err != nil {
		log.WarnContext(ctx, "the store cannot be backed up while this server runs", "err", err)
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		<-ctx.Done()
		_ = os.Remove(backupSocket(path))
		_ = ln.Close()
	})
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				n, err := store.Dump(ctx, db.Driver(), conn)
				log.InfoContext(ctx, "backup", "records", n, "err", err)
			})
		}
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// listenPrivately listens on a socket that only its owner can ever connect to. The caller has the file beside it locked,
// so a socket that is there belongs to a server that was killed.
func listenPrivately(ctx context.Context, path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".bos-*") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	temporary := filepath.Join(dir, "s")
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", temporary)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temporary, 0o600), os.Rename(temporary, path)); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, errors.Join(err, ln.Close()))
	}
	return ln, nil
}

// dialBackup connects to the server that has the file open, if one has.
func dialBackup(ctx context.Context, boltPath string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", backupSocket(boltPath))
}
