// Command embedded is a BOS of a vendor in one process: the API over a store that keeps an audit log, and the ten
// operators, which power nodes over Redfish instead of PCS. It is what bos serve is, with other parts.
//
//	go run ./examples/embedded -store bos.db -hsm http://cray-smd/hsm/v2 -bmc https://%s …
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	redfish "github.com/bootorch/bosgo/examples/custom-power"
	audit "github.com/bootorch/bosgo/examples/custom-store"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/builtin"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "embedded:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:9000", "address of the API")
	file := flag.String("store", "bos.db", "file of the database")
	bmc := flag.String("bmc", "https://%s", "URL of a management controller; %s is its name, such as x3000c0s1b0")
	hsmURL := flag.String("hsm", "http://cray-smd/hsm/v2", "Hardware State Manager")
	cfsURL := flag.String("cfs", "http://cray-cfs-api/v3", "Configuration Framework Service")
	bssURL := flag.String("bss", "http://cray-bss/boot/v1", "Boot Script Service")
	imsURL := flag.String("ims", "http://cray-ims/v3", "Image Management Service")
	tapmsURL := flag.String("tapms", "http://cray-tapms/v1alpha3", "tenant service")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.Default()

	deps := builtin.Deps{Log: log, Power: &redfish.Client{BMC: func(id bos.ComponentID) (string, bool) {
		controller, _, ok := strings.Cut(string(id), "n")
		return fmt.Sprintf(*bmc, controller), ok
	}}}
	var errs [6]error
	deps.Inventory, errs[0] = hsm.New(*hsmURL, hsm.Config{Log: log})
	deps.Config, errs[1] = cfs.New(*cfsURL, cfs.Config{Log: log})
	deps.Boot, errs[2] = bss.New(*bssURL, bss.Config{Log: log})
	deps.Images, errs[3] = ims.New(*imsURL, ims.Config{Log: log})
	deps.Manifests, errs[4] = s3manifest.New(s3manifest.FromEnv(os.Getenv))
	deps.Tenants, errs[5] = tapms.New(*tapmsURL, tapms.Config{Log: log})
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	st, err := boltstore.Open(*file, store.Config{Log: log})
	if err != nil {
		return err
	}
	defer st.Close()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	log.Info("listening", "url", "http://"+ln.Addr().String())
	return serve(ctx, ln, audit.Wrap(st, log), deps)
}

// serve runs the API and the operators until ctx ends.
func serve(ctx context.Context, ln net.Listener, st store.Store, deps builtin.Deps) error {
	api := bosserver.New(st, bosserver.Config{Tenants: deps.Tenants, Images: deps.Images, Manifests: deps.Manifests, Log: deps.Log})
	deps.API = api
	g, ctx := errgroup.WithContext(ctx)
	for _, op := range builtin.All(deps) {
		loop := &operator.Loop{Operator: op, API: api, Holder: "embedded", Log: deps.Log}
		g.Go(func() error { return loop.Run(ctx) })
	}
	server := &http.Server{
		Handler:           bosserver.NewHandler(api, bosserver.HandlerConfig{Log: deps.Log, Closing: ctx.Done()}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	g.Go(func() error { return server.Serve(ln) })
	g.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return server.Shutdown(drain)
	})
	if err := g.Wait(); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
