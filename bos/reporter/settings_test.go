package reporter

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoadPrecedence(t *testing.T) {
	dir := t.TempDir()
	src := Sources{
		Flags:      map[string]string{},
		LookupEnv:  noEnv,
		Cmdline:    filepath.Join(dir, "cmdline"),
		XnameFile:  filepath.Join(dir, "xname"),
		ConfigFile: filepath.Join(dir, "conf"),
	}
	write(t, src.ConfigFile, "")
	write(t, src.Cmdline, "quiet")
	write(t, src.XnameFile, "x0\n")
	check := func(id, ttl string, level slog.Level) {
		t.Helper()
		s, err := Load(src)
		if err != nil {
			t.Fatal(err)
		}
		if s.ID != id || s.TTL != ttl || s.LogLevel != level {
			t.Errorf("ID %q, TTL %q, level %v; want %q, %q, %v", s.ID, s.TTL, s.LogLevel, id, ttl, level)
		}
	}
	check("x0", "", slog.LevelInfo)
	write(t, src.Cmdline, "xname=x1 bos_update_frequency=1h bos_log_level=debug")
	check("x1", "1h", slog.LevelDebug)
	write(t, src.ConfigFile, "identity = x2\nupdate_frequency=2h\nlog_level = Warning\n")
	check("x2", "2h", slog.LevelWarn)
	env := map[string]string{"NODE_IDENTITY": "x3", "BOS_REPORTER_UPDATE_FREQUENCY": "3h", "BOS_REPORTER_LOG_LEVEL": "critical"}
	src.LookupEnv = func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	check("x3", "3h", slog.LevelError)
	src.Flags = map[string]string{"identity": "x4", "update_frequency": "4h", "log_level": "debug"}
	check("x4", "4h", slog.LevelDebug)
}

func TestLoadAddress(t *testing.T) {
	for _, tt := range []struct {
		name, conf string
		env        map[string]string
		want       string
	}{
		{"default", "", nil, "https://api-gw-service-nmn.local/apis/bos"},
		{"host", "gateway = gw", nil, "https://gw/apis/bos"},
		{"environment", "gateway = gw", map[string]string{"API_GATEWAY_HOST": "gw2:8443"}, "https://gw2:8443/apis/bos"},
		{"empty path", "base_path =", nil, "https://api-gw-service-nmn.local"},
		{"empty path in the environment", "", map[string]string{"BOS_REPORTER_BASE_PATH": ""}, "https://api-gw-service-nmn.local"},
		{"empty gateway", "gateway = gw", map[string]string{"API_GATEWAY_HOST": ""}, "https://gw/apis/bos"},
		{"plain", "gateway = http://gw:80\ninsecure_http = true", nil, "http://gw:80/apis/bos"},
		{"plain, not allowed", "gateway = http://gw:80", nil, ""},
		{"plain, loopback", "gateway = http://127.0.0.1", nil, ""},
	} {
		s, err := load(t, cmdline(""), tt.conf, tt.env)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%s: no error, API %q", tt.name, s.API)
		case tt.want != "" && (err != nil || s.API != tt.want):
			t.Errorf("%s: %+v, %v; want %q", tt.name, s, err, tt.want)
		}
	}
}

func TestLoadAPI(t *testing.T) {
	line := filepath.Join(t.TempDir(), "cmdline")
	write(t, line, cmdline(""))
	env := func(k string) (string, bool) {
		return map[string]string{"API_GATEWAY_HOST": "gw"}[k], k == "API_GATEWAY_HOST"
	}
	for api, want := range map[string]string{
		"http://127.0.0.1:9000":    "http://127.0.0.1:9000",
		"http://localhost:9000/":   "http://localhost:9000",
		"http://[::1]:9000":        "http://[::1]:9000",
		"https://gw2/apis/bos":     "https://gw2/apis/bos",
		"http://10.0.0.1:9000":     "",
		"http://127.0.0.1.example": "",
	} {
		s, err := Load(Sources{API: api, LookupEnv: env, Cmdline: line})
		if want == "" {
			if se, ok := errors.AsType[*SettingError](err); !ok || !se.Flag || se.Where != "--api" {
				t.Errorf("%s: err = %v, want one of the flag --api", api, err)
			}
		} else if err != nil || s.API != want {
			t.Errorf("%s: %+v, %v; want %s", api, s, err, want)
		}
	}
}

func TestLoadWarnings(t *testing.T) {
	s, err := load(t, cmdline("bos_update_frequency= bos_log_level=nonsense bos_session_id=abc"),
		"# comment\n\ncolour = red\nnonsense\n token_file = \"/a b\" \ninsecure_skip_verify = yes-please", nil)
	if err == nil {
		t.Errorf("insecure_skip_verify = yes-please is accepted: %+v", s)
	}
	s, err = load(t, cmdline("bos_update_frequency= bos_log_level=nonsense bos_session_id=abc"),
		"# comment\n\ncolour = red\nnonsense\n token_file = \"/a b\" \ninsecure_skip_verify = true", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"unknown key \"colour\"", "line 4 is not", "bos_update_frequency= on", "\"nonsense\"", "anybody can pose"} {
		if n := len(slices.DeleteFunc(slices.Clone(s.Warnings), func(w string) bool { return !strings.Contains(w, want) })); n != 1 {
			t.Errorf("%d warnings with %q: %q", n, want, s.Warnings)
		}
	}
	if len(s.Warnings) != 5 || s.TTL != "" || s.LogLevel != slog.LevelInfo || s.SessionID != "abc" || s.tokenFile != "/a b" {
		t.Errorf("settings %+v", s)
	}
}

func TestLoadErrors(t *testing.T) {
	for _, conf := range []string{
		"identity = a/b",
		"gateway = ftp://gw",
		"connect_timeout = soon",
		"connect_timeout = 0s",
		"read_timeout = -1s",
		"initial_splay = 61s",
		"auth = magic",
		"auth = file",
		"insecure_http = perhaps",
		"log_format = xml",
	} {
		_, err := load(t, cmdline(""), conf, nil)
		key, _, _ := strings.Cut(conf, " ")
		if se, ok := errors.AsType[*SettingError](err); !ok || se.Flag || !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: err = %v, want one line that names the key", conf, err)
		}
	}
	if _, err := load(t, "xname=../x", "", nil); err == nil {
		t.Error("an xname with a path is accepted")
	}
	dir := t.TempDir()
	if _, err := Load(Sources{LookupEnv: noEnv, ConfigFile: dir + "/none"}); err == nil {
		t.Error("no error for a configuration file that was asked for and does not exist")
	}
	if _, err := Load(Sources{LookupEnv: noEnv, ConfigFile: dir}); err == nil {
		t.Error("no error for a configuration file that is a directory")
	}
	if _, err := Load(Sources{LookupEnv: noEnv, Cmdline: dir + "/none"}); err == nil {
		t.Error("no error for a kernel command line that cannot be read")
	}
}

func TestLoadTimes(t *testing.T) {
	s, err := load(t, cmdline(""), "connect_timeout = 1s\nread_timeout=2s\ninitial_splay = 1m", nil)
	if err != nil || s.ConnectTimeout != time.Second || s.ReadTimeout != 2*time.Second || s.InitialSplay != time.Minute {
		t.Errorf("settings %+v, %v", s, err)
	}
	if cfg := s.Config(slog.New(slog.DiscardHandler)); cfg.Timeout != 3*time.Second {
		t.Errorf("time-out of a try %v, want 3s", cfg.Timeout)
	}
}

func TestSettingsTokens(t *testing.T) {
	dir := t.TempDir()
	file, helper := filepath.Join(dir, "token"), filepath.Join(dir, "helper")
	write(t, file, "from-file")
	program(t, helper, `echo from-$1`)
	none := "spire_agent = " + dir + "/none\nspire_socket = " + dir + "/none\n"
	agent := filepath.Join(dir, "agent")
	program(t, agent, `echo '[{"svids":[{"spiffe_id":"x","svid":"from-agent"}]}]'`)
	for _, tt := range []struct{ name, conf, want string }{
		{"file", "token_file = " + file, "from-file"},
		{"command with an argument", "token_command = " + helper + " helper", "from-helper"},
		{"file before command", "token_file = " + file + "\ntoken_command = " + helper + " helper", "from-file"},
		{"command if there is no file", "token_file = " + file + "x\ntoken_command = " + helper + " helper", "from-helper"},
		{"only the file", "auth = file\ntoken_file = " + file + "x\ntoken_command = " + helper + " helper", "error"},
		{"command by name", "auth = command\ntoken_file = " + file + "\ntoken_command = " + helper + " helper", "from-helper"},
		{"agent found", "spire_agent = " + agent, "from-agent"},
		{"agent by name", "auth = spire-agent\ntoken_file = " + file + "\nspire_agent = " + agent, "from-agent"},
		{"socket by name", "auth = spire-socket\ntoken_file = " + file + "\n" + none, "error"},
		{"nothing there", none, "error"},
		{"nothing there, on this machine", none + "gateway = http://127.0.0.1:1\ninsecure_http = true", ""},
		{"nothing there, elsewhere", none + "gateway = http://10.0.0.1:1\ninsecure_http = true", "error"},
		{"none", "auth = none\ntoken_file = " + file, ""},
	} {
		s, err := load(t, cmdline(""), tt.conf, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, err := s.Tokens(nil).Token(t.Context(), false)
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("%s: token %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

// The splay puts off the first report only, and by a random part.
func TestInitialSplay(t *testing.T) {
	r := newRig(t, cmdline(""), map[string]string{"BOS_REPORTER_INITIAL_SPLAY": "1m"})
	if got := r.runFor(t, time.Hour); !slices.Equal(got, []time.Duration{30 * time.Second}) {
		t.Errorf("requests at %v, want 30s", got)
	}
}

// Every key has its own environment variable and a name that fits a flag.
func TestKeys(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range Keys() {
		if k.Env == "" || seen[k.Env] || seen[k.Name] || k.Help == "" || strings.ToLower(k.Name) != k.Name {
			t.Errorf("key %+v", k)
		}
		seen[k.Env], seen[k.Name] = true, true
	}
}
