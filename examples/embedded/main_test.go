package main

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/cfs/cfstest"
	"github.com/bootorch/bosgo/clients/bss/bsstest"
	"github.com/bootorch/bosgo/clients/ims/imstest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/operator/builtin"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
	"github.com/bootorch/bosgo/store/memstore"
)

const node bos.ComponentID = "x3000c0s1b0n0"

// A whole BOS over fakes of every service shuts a node down. Whatever happens is in the stream of changes: nobody polls.
func TestShutdown(t *testing.T) {
	power := pcstest.New(node)
	power.SetState(pcs.StateOn, node)
	deps := builtin.Deps{
		Inventory: hsmtest.NewNodes(node), Power: power, Config: cfstest.New(node), Boot: &bsstest.Fake{}, Images: imstest.New(),
		Manifests: &manifesttest.Fake{}, Tenants: &tapmstest.Fake{}, Log: slog.New(slog.DiscardHandler),
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st := memstore.New()
	defer st.Close()
	beginning := st.Cursor()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln, st, deps) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	api, err := bosclient.New("http://"+ln.Addr().String(), bosclient.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for change, err := range api.Changes(ctx, bos.ChangeFilter{Since: beginning}) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case change.Kind == bos.ChangeComponent && change.Touches("id"): // discovered
			if err := shutdown(ctx, api); err != nil {
				t.Fatal(err)
			}
		case change.Kind == bos.ChangeSession && change.Status == bos.Status(bos.SessionComplete):
			c, err := api.GetComponent(ctx, "", node)
			if err != nil || power.State(node) != pcs.StateOff || c.ComputeStatus() != bos.StatusStable {
				t.Errorf("the node is %s and %s: %s %v", power.State(node), c.ComputeStatus(), c.ErrorText(), err)
			}
			return
		}
	}
	t.Error("the stream of changes ended before the session")
}

func shutdown(ctx context.Context, api bos.API) error {
	template := bos.SessionTemplate{BootSets: map[string]bos.BootSet{
		"compute": {Type: "s3", Path: "s3://boot-images/none/manifest.json", NodeList: []string{string(node)}},
	}}
	if _, err := api.PutTemplate(ctx, bos.TenantKey{Name: "all"}, template); err != nil {
		return err
	}
	_, err := api.CreateSession(ctx, "", bos.SessionCreate{Name: "off", Operation: bos.OperationShutdown, TemplateName: "all"})
	return err
}
