package app

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/pcs"
)

// Upstreams are the services that BOS drives: each URL is the base to which the service's paths are appended.
type Upstreams struct {
	HSM, PCS, CAPMC, CFS, BSS, IMS, TAPMS string
	Power                                 string            // "pcs" or "capmc"
	S3Endpoint                            string            // "" = S3 as the environment has it
	S3                                    s3manifest.Config // from the environment: keys never come from a flag
	CAFile                                string
	TokenFile                             string
}

// Bind defines the flags of the upstreams.
func (u *Upstreams) Bind(f *Flags) {
	u.BindAPI(f)
	f.StringEnv(&u.HSM, "hsm-url", "BOS_HSM_URL", "http://cray-smd/hsm/v2", "Hardware State Manager")
	f.StringEnv(&u.PCS, "pcs-url", "BOS_PCS_URL", "http://cray-power-control", "Power Control Service")
	f.StringEnv(&u.CAPMC, "capmc-url", "BOS_CAPMC_URL", "http://cray-capmc/capmc/v1", "CAPMC, for --power capmc")
	f.StringEnv(&u.CFS, "cfs-url", "BOS_CFS_URL", "http://cray-cfs-api/v3", "Configuration Framework Service; a URL that ends in /v2 selects its v2 dialect")
	f.StringEnv(&u.BSS, "bss-url", "BOS_BSS_URL", "http://cray-bss/boot/v1", "Boot Script Service")
	f.StringEnv(&u.Power, "power", "BOS_POWER", "pcs", "power back end: pcs or capmc")
}

// BindAPI defines the flags of those that the API server asks: IMS, S3 and TAPMS.
func (u *Upstreams) BindAPI(f *Flags) {
	f.StringEnv(&u.IMS, "ims-url", "BOS_IMS_URL", "http://cray-ims/v3", "Image Management Service")
	f.StringEnv(&u.TAPMS, "tapms-url", "BOS_TAPMS_URL", "http://cray-tapms/v1alpha3", "tenant service")
	f.StringEnv(&u.S3Endpoint, "s3-endpoint", "BOS_S3_ENDPOINT", "", "S3 endpoint URL; without it $S3_PROTOCOL://$S3_GATEWAY")
	f.StringEnv(&u.CAFile, "upstream-ca-file", "CA_CERT", "", "PEM bundle of the authorities to trust for the services and S3")
	f.StringEnv(&u.TokenFile, "upstream-token-file", "BOS_UPSTREAM_TOKEN_FILE", "", "file with a bearer token for the services, re-read when it changes; not needed inside a mesh")
	u.S3 = s3manifest.FromEnv(f.getenv)
}

// SimulatedUpstreams are the services of a simulated machine at base.
func SimulatedUpstreams(base string) Upstreams {
	base = strings.TrimSuffix(base, "/")
	return Upstreams{
		HSM: base + "/hsm/v2", PCS: base + "/pcs/v1", CAPMC: base + "/capmc/v1", CFS: base + "/cfs/v3", BSS: base + "/bss/boot/v1",
		IMS: base + "/ims/v3", TAPMS: base + "/tapms/v1alpha3", S3Endpoint: base + "/s3", Power: "pcs",
	}
}

// Environ returns the settings as environment variables for another program.
func (u *Upstreams) Environ() []string {
	return []string{
		"BOS_HSM_URL=" + u.HSM, "BOS_PCS_URL=" + u.PCS, "BOS_CAPMC_URL=" + u.CAPMC, "BOS_CFS_URL=" + u.CFS, "BOS_BSS_URL=" + u.BSS,
		"BOS_IMS_URL=" + u.IMS, "BOS_TAPMS_URL=" + u.TAPMS, "BOS_S3_ENDPOINT=" + u.S3Endpoint, "BOS_POWER=" + u.Power,
	}
}

// Clients speak to the services.
type Clients struct {
	Inventory hsm.Inventory
	Power     pcs.PowerClient
	Config    cfs.ConfigClient
	Boot      bss.BootClient
	Images    ims.ImageClient
	Manifests manifest.Reader
	Tenants   tapms.TenantClient
}

// tenantCacheTime is how long an answer of TAPMS is believed.
const tenantCacheTime = 10 * time.Second

// clients builds the clients of all services. Their time-outs follow the options.
func (u *Upstreams) clients(live *liveOptions, log *slog.Logger) (Clients, error) {
	c, err := u.apiClients(live, log)
	if err != nil {
		return c, err
	}
	hsmConfig := u.config(live, log, func(o *bos.Options) time.Duration { return o.HSMReadTimeout })
	pcsConfig := u.config(live, log, func(o *bos.Options) time.Duration { return o.PCSReadTimeout })
	pcsConfig.MaxNodes = func() int { return live.Settings().MaxNodesPerTransition }
	cfsConfig := u.config(live, log, func(o *bos.Options) time.Duration { return o.CFSReadTimeout })
	bssConfig := u.config(live, log, func(o *bos.Options) time.Duration { return o.BSSReadTimeout })
	err = buildAll([]build{
		{"--hsm-url", func() (err error) { c.Inventory, err = hsm.New(u.HSM, hsmConfig); return }},
		{"--power", func() (err error) {
			switch u.Power {
			case "pcs":
				c.Power, err = pcs.New(u.PCS, pcsConfig)
			case "capmc":
				c.Power, err = pcs.NewCAPMC(u.CAPMC, pcsConfig)
			default:
				err = fmt.Errorf("%q is neither pcs nor capmc", u.Power)
			}
			return
		}},
		{"--cfs-url", func() (err error) { c.Config, err = cfs.New(u.CFS, cfsConfig); return }},
		{"--bss-url", func() (err error) { c.Boot, err = bss.New(u.BSS, bssConfig); return }},
	})
	return c, err
}

// apiClients builds the clients of the services that the API server asks.
func (u *Upstreams) apiClients(live *liveOptions, log *slog.Logger) (c Clients, err error) {
	if u.CAFile != "" {
		if _, err := readAuthorities("--upstream-ca-file", u.CAFile); err != nil {
			return c, err
		}
	}
	imsConfig := u.config(live, log, func(o *bos.Options) time.Duration { return o.IMSReadTimeout })
	imsConfig.Retries = func() int {
		if live.Options().IMSErrorsFatal {
			return 8
		}
		return 4
	}
	tapmsConfig := u.config(live, log, func(*bos.Options) time.Duration { return 10 * time.Second })
	err = buildAll([]build{
		{"--ims-url", func() (err error) { c.Images, err = ims.New(u.IMS, imsConfig); return }},
		{"--tapms-url", func() error {
			client, err := tapms.New(u.TAPMS, tapmsConfig)
			if err == nil {
				c.Tenants = tapms.Cached(client, tenantCacheTime)
			}
			return err
		}},
		{"--s3-endpoint", func() (err error) {
			s3 := u.S3
			s3.CAFile = u.CAFile
			if u.S3Endpoint != "" {
				s3 = s3manifest.Config{Endpoint: u.S3Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, CAFile: u.CAFile}
			}
			s3.Log = log
			c.Manifests, err = s3manifest.New(s3)
			return
		}},
	})
	return c, err
}

// config is what the clients have in common.
func (u *Upstreams) config(live *liveOptions, log *slog.Logger, timeout func(*bos.Options) time.Duration) hsm.Config {
	return hsm.Config{
		Timeout:   func() time.Duration { return timeout(live.Options()) },
		CAFile:    u.CAFile,
		TokenFile: u.TokenFile,
		Log:       log,
	}
}

// build makes one client; its flag is to blame where it cannot.
type build struct {
	flag string
	fn   func() error
}

func buildAll(all []build) error {
	for _, b := range all {
		if err := b.fn(); err != nil {
			return UsageErrorf("%s: %v", b.flag, err)
		}
	}
	return nil
}
