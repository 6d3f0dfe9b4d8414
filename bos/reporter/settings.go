package reporter

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Where things are on a node.
const (
	ConfigFile      = "/etc/bos-reporter.conf"
	KernelCmdline   = "/proc/cmdline"
	XnameFile       = "/etc/cray/xname"
	TokenHelper     = "/opt/cray/auth-utils/bin/get-auth-token" //nolint:gosec // a path
	SpireAgentLink  = "/usr/bin/bos-reporter-spire-agent"
	SpireAgentSock  = "/var/lib/spire/agent.sock"
	StatusDirectory = "/run/bos-reporter"
)

// Key is one setting. In the configuration file it has its name, on the command line the name with hyphens.
type Key struct {
	Name    string
	Env     string // environment variable
	Default string // as typed; where it depends on the machine, words
	Help    string
	Bool    bool
}

// Flag returns the name of the key on the command line, without the leading hyphens.
func (k Key) Flag() string { return strings.ReplaceAll(k.Name, "_", "-") }

// Keys returns all settings in the order in which they are documented.
func Keys() []Key {
	return []Key{
		{Name: "gateway", Env: "API_GATEWAY_HOST", Default: "api-gw-service-nmn.local", Help: "host, host:port or https:// URL of the API gateway"},
		{Name: "base_path", Env: "BOS_REPORTER_BASE_PATH", Default: "/apis/bos", Help: "path of BOS below the gateway; empty for BOS without a gateway"},
		{Name: "identity", Env: "NODE_IDENTITY", Default: "xname= of the kernel command line, then " + XnameFile, Help: "xname of the node"},
		{Name: "update_frequency", Env: "BOS_REPORTER_UPDATE_FREQUENCY", Default: "bos_update_frequency= of the kernel command line, then 4h", Help: "component_actual_state_ttl of BOS; the report is repeated at 3/4 of it, 0 is once"},
		{Name: "initial_splay", Env: "BOS_REPORTER_INITIAL_SPLAY", Default: "0s", Help: "put the first report off by a random part of this, up to 60s"},
		{Name: "ca_file", Env: "BOS_REPORTER_CA_FILE", Default: "the system's bundle", Help: "PEM file with certificates to trust beside the system's"},
		{Name: "insecure_http", Env: "BOS_REPORTER_INSECURE_HTTP", Default: "false", Help: "allow a plain http:// gateway", Bool: true},
		{Name: "insecure_skip_verify", Env: "BOS_REPORTER_INSECURE_SKIP_VERIFY", Default: "false", Help: "do not verify the gateway's certificate", Bool: true},
		{Name: "connect_timeout", Env: "BOS_REPORTER_CONNECT_TIMEOUT", Default: "3s", Help: "limit for name resolution and connection"},
		{Name: "read_timeout", Env: "BOS_REPORTER_READ_TIMEOUT", Default: "10s", Help: "limit for the TLS handshake and for the answer"},
		{Name: "auth", Env: "BOS_REPORTER_AUTH", Default: "auto", Help: "where the token comes from: auto, file, command, spire-agent, spire-socket, none"},
		{Name: "token_file", Env: "BOS_REPORTER_TOKEN_FILE", Default: "", Help: "file with the token"},
		{Name: "token_command", Env: "BOS_REPORTER_TOKEN_COMMAND", Default: TokenHelper, Help: "program that prints the token, and its arguments"},
		{Name: "spire_agent", Env: "SPIRE_AGENT_PATH", Default: SpireAgentLink, Help: "client program of the SPIRE agent"},
		{Name: "spire_socket", Env: "BOS_REPORTER_SPIRE_SOCKET", Default: SpireAgentSock, Help: "socket of the SPIRE agent"},
		{Name: "spire_audience", Env: "BOS_REPORTER_SPIRE_AUDIENCE", Default: "system-compute", Help: "audience of the token"},
		{Name: "log_level", Env: "BOS_REPORTER_LOG_LEVEL", Default: "bos_log_level= of the kernel command line, then info", Help: "debug, info, warning or error"},
		{Name: "log_format", Env: "BOS_REPORTER_LOG_FORMAT", Default: "text", Help: "text or json"},
		{Name: "status_file", Env: "BOS_REPORTER_STATUS_FILE", Default: StatusDirectory + "/status.json if the directory exists", Help: "file for the result of the last report"},
	}
}

// Sources is where [Load] looks. Only LookupEnv is required.
type Sources struct {
	Flags      map[string]string           // by the name of the key
	API        string                      // gateway and base path in one URL; wins over both
	LookupEnv  func(string) (string, bool) // such as os.LookupEnv
	ConfigFile string                      // must exist; "" means the constant ConfigFile, which need not
	Cmdline    string                      // "" means KernelCmdline
	XnameFile  string                      // "" means the constant XnameFile
}

// Settings is the configuration of one node, read from all its sources.
type Settings struct {
	ID       string
	IDSource string // for people
	API      string
	TTL      string // "" means the default

	InitialSplay   time.Duration
	ConnectTimeout time.Duration
	ReadTimeout    time.Duration

	CAFile             string
	InsecureSkipVerify bool

	LogLevel   slog.Level
	LogJSON    bool
	StatusFile string // "" means none
	SessionID  string // BOS v1's bos_session_id, where there is one; not used
	Warnings   []string

	auth, tokenFile, tokenCommand          string
	spireAgent, spireSocket, spireAudience string
	cmdline                                string
}

// SettingError is a setting that cannot be used.
type SettingError struct {
	Where string // "--gateway", "API_GATEWAY_HOST", "/etc/bos-reporter.conf: gateway"
	Flag  bool   // given on the command line
	Err   error
}

// Error names the setting.
func (e *SettingError) Error() string { return e.Where + ": " + e.Err.Error() }

// Unwrap returns what is wrong with it.
func (e *SettingError) Unwrap() error { return e.Err }

// Load collects the settings: the command line wins over the environment, that over the configuration file, that over
// the kernel command line, and that over the defaults. What only deserves a warning is in Settings.Warnings.
func Load(src Sources) (*Settings, error) {
	l := loader{src: src, s: new(Settings)}
	if err := l.readFiles(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{l.identity, l.address, l.trust, l.times, l.credentials, l.logging} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l.s, nil
}

// loader holds what the steps of Load share.
type loader struct {
	src    Sources
	s      *Settings
	file   map[string]string
	kernel CommandLine
}

func (l *loader) warn(format string, args ...any) {
	l.s.Warnings = append(l.s.Warnings, fmt.Sprintf(format, args...))
}

func (l *loader) readFiles() error {
	path := orString(l.src.ConfigFile, ConfigFile)
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && l.src.ConfigFile == "":
	case err != nil:
		return fmt.Errorf("configuration file %s: %w", path, cause(err))
	default:
		defer f.Close()
		if err := l.parse(f, path); err != nil {
			return fmt.Errorf("configuration file %s: %w", path, cause(err))
		}
	}
	l.src.ConfigFile = path
	l.s.cmdline = orString(l.src.Cmdline, KernelCmdline)
	l.kernel, err = ReadCommandLine(l.s.cmdline)
	return err
}

// parse reads lines of "key = value". A value may stand in double quotes.
func (l *loader) parse(f *os.File, path string) error {
	known := make(map[string]bool)
	for _, k := range Keys() {
		known[k.Name] = true
	}
	l.file = make(map[string]string)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		switch {
		case !ok:
			l.warn("%s line %d is not key = value and is ignored", path, n)
		case !known[key]:
			l.warn("%s line %d: unknown key %.40q is ignored", path, n, key)
		default:
			l.file[key] = unquote(strings.TrimSpace(value))
		}
	}
	return lines.Err()
}

// value is a setting and where it was found.
type value struct {
	text  string
	found bool
	where string
	flag  bool
}

func (v value) wrong(err error) error { return &SettingError{v.where, v.flag, err} }

// get looks a key up in flags, environment and file. Empty counts as not set, but for base_path.
func (l *loader) get(name string) value {
	var key Key
	for _, k := range Keys() {
		if k.Name == name {
			key = k
		}
	}
	set := func(text string, ok bool) bool { return ok && (text != "" || name == "base_path") }
	if text, ok := l.src.Flags[name]; set(text, ok) {
		return value{text, true, "--" + key.Flag(), true}
	}
	if text, ok := l.src.LookupEnv(key.Env); set(text, ok) {
		return value{text, true, key.Env, false}
	}
	if text, ok := l.file[name]; set(text, ok) {
		return value{text, true, l.src.ConfigFile + ": " + name, false}
	}
	return value{}
}

func (l *loader) bool(name string) (bool, error) {
	v := l.get(name)
	if !v.found {
		return false, nil
	}
	b, err := strconv.ParseBool(v.text)
	if err != nil {
		return false, v.wrong(fmt.Errorf("%q is neither true nor false", v.text))
	}
	return b, nil
}

func (l *loader) duration(name string, def, least, most time.Duration) (time.Duration, error) {
	v := l.get(name)
	if !v.found {
		return def, nil
	}
	d, err := time.ParseDuration(v.text)
	if err != nil {
		return 0, v.wrong(fmt.Errorf("%q is not a duration such as 10s", v.text))
	}
	if d < least || d > most {
		return 0, v.wrong(fmt.Errorf("%v is outside %v to %v", d, least, most))
	}
	return d, nil
}

func (l *loader) identity() error {
	xnameFile := orString(l.src.XnameFile, XnameFile)
	v := l.get("identity")
	v.text = strings.TrimSpace(v.text)
	if v.text == "" {
		v.text, _ = l.kernel.Value(ParamXname)
		v.where, v.flag = "xname= of the kernel command line", false
	}
	if v.text == "" {
		b, _ := os.ReadFile(xnameFile)
		v.text, v.where = strings.TrimSpace(string(b)), xnameFile
	}
	if v.text == "" {
		return fmt.Errorf("no identity: neither NODE_IDENTITY nor xname= on the kernel command line nor %s says which node this is", xnameFile)
	}
	if err := CheckID(v.text); err != nil {
		return v.wrong(err)
	}
	l.s.ID, l.s.IDSource = v.text, v.where
	return nil
}

func (l *loader) address() error {
	insecure, err := l.bool("insecure_http")
	if err != nil {
		return err
	}
	gateway, path := l.get("gateway"), l.get("base_path")
	if !path.found {
		path.text = "/apis/bos"
	}
	if !gateway.found {
		gateway.text = "api-gw-service-nmn.local"
	}
	if l.src.API != "" {
		gateway, path = value{l.src.API, true, "--api", true}, value{}
		insecure = insecure || loopbackHTTP(l.src.API)
	}
	if l.s.API, err = BaseURL(gateway.text, path.text, insecure); err != nil {
		return gateway.wrong(err)
	}
	return nil
}

func (l *loader) trust() (err error) {
	l.s.CAFile = l.get("ca_file").text
	l.s.InsecureSkipVerify, err = l.bool("insecure_skip_verify")
	if l.s.InsecureSkipVerify {
		l.warn("insecure_skip_verify is set: anybody can pose as the gateway and read the token")
	}
	return err
}

func (l *loader) times() (err error) {
	if v := l.get("update_frequency"); v.found {
		l.s.TTL = v.text
	} else if ttl, found := l.kernel.Value(ParamTTL); found && ttl == "" {
		l.warn("%s= on the kernel command line is empty: %v is assumed", ParamTTL, DefaultTTL)
	} else {
		l.s.TTL = ttl
	}
	if l.s.InitialSplay, err = l.duration("initial_splay", 0, 0, time.Minute); err != nil {
		return err
	}
	if l.s.ConnectTimeout, err = l.duration("connect_timeout", DefaultConnectTimeout, time.Millisecond, time.Hour); err != nil {
		return err
	}
	l.s.ReadTimeout, err = l.duration("read_timeout", DefaultReadTimeout, time.Millisecond, time.Hour)
	return err
}

func (l *loader) credentials() error {
	s := l.s
	s.tokenFile, s.tokenCommand = l.get("token_file").text, l.get("token_command").text
	s.spireAgent = orString(l.get("spire_agent").text, SpireAgentLink)
	s.spireSocket = orString(l.get("spire_socket").text, SpireAgentSock)
	s.spireAudience = orString(l.get("spire_audience").text, "system-compute")
	v := l.get("auth")
	s.auth = orString(v.text, "auto")
	switch s.auth {
	case "auto", "command", "spire-agent", "spire-socket", "none":
		return nil
	case "file":
		if s.tokenFile == "" {
			return v.wrong(errors.New("file needs token_file"))
		}
		return nil
	}
	return v.wrong(fmt.Errorf("unknown value %q", s.auth))
}

func (l *loader) logging() error {
	level, found := l.get("log_level").text, true
	if level == "" {
		level, found = l.kernel.Value(ParamLog)
	}
	if found {
		var ok bool
		if l.s.LogLevel, ok = ParseLogLevel(level); !ok {
			l.warn("unknown log level %.40q: info is assumed", level)
		}
	}
	l.s.SessionID, _ = l.kernel.Value(ParamSession)
	l.s.StatusFile = l.get("status_file").text
	if info, err := os.Stat(StatusDirectory); l.s.StatusFile == "" && err == nil && info.IsDir() {
		l.s.StatusFile = filepath.Join(StatusDirectory, "status.json")
	}
	switch v := l.get("log_format"); v.text {
	case "json":
		l.s.LogJSON = true
	case "", "text":
	default:
		return v.wrong(fmt.Errorf("%q is neither text nor json", v.text))
	}
	return nil
}

// ParseLogLevel reads debug, info, warning (or warn), error or critical, in either case. Critical is the
// same as error. What it does not know is info and false.
func ParseLogLevel(s string) (slog.Level, bool) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warning", "warn":
		return slog.LevelWarn, true
	case "error", "critical":
		return slog.LevelError, true
	}
	return slog.LevelInfo, false
}

// BSSToken reads what to report from the kernel command line, as it is now.
func (s *Settings) BSSToken() (string, error) {
	c, err := ReadCommandLine(s.cmdline)
	if err != nil {
		return "", err
	}
	token, _ := c.Value(ParamToken)
	return token, nil
}

// Tokens returns the source of credentials that the settings ask for. In the mode auto these are the token file
// and command that were configured; where none was, the token helper, the SPIRE client and the SPIRE socket, as far
// as they exist. A report by plain HTTP to this machine itself goes out without a token if none of those gives one.
func (s *Settings) Tokens(log *slog.Logger) TokenSource {
	cache := func(src TokenSource) TokenSource { return &Cache{Source: src, Log: log} }
	file := Provider{Name: "file", Source: TokenFile(s.tokenFile)}
	args := strings.Fields(orString(s.tokenCommand, TokenHelper))
	command := Provider{Name: "command", Source: cache(TokenCommand{Args: args, SpireAgent: s.spireAgent})}
	agent := Provider{Name: "spire-agent", Source: cache(SpireClient{s.spireAgent, s.spireAudience, s.spireSocket})}
	socket := Provider{Name: "spire-socket", Source: cache(SpireSocket{s.spireAudience, s.spireSocket})}

	chain := &Chain{Log: log}
	switch s.auth {
	case "none":
		return NoToken
	case "file":
		chain.Providers = []Provider{file}
	case "command":
		chain.Providers = []Provider{command}
	case "spire-agent":
		chain.Providers = []Provider{agent}
	case "spire-socket":
		chain.Providers = []Provider{socket}
	default:
		if s.tokenFile != "" {
			chain.Providers = append(chain.Providers, file)
		}
		if s.tokenCommand != "" {
			chain.Providers = append(chain.Providers, command)
		}
		if len(chain.Providers) > 0 {
			break
		}
		command.Needs, agent.Needs, socket.Needs = TokenHelper, s.spireAgent, s.spireSocket
		chain.Providers = []Provider{command, agent, socket}
		if loopbackHTTP(s.API) {
			chain.Providers = append(chain.Providers, Provider{Name: "none", Source: NoToken})
		}
	}
	return chain
}

// Config returns the configuration of a [Reporter] with these settings. It keeps the status file up to date.
func (s *Settings) Config(log *slog.Logger) Config {
	cfg := Config{
		ID:       s.ID,
		API:      s.API,
		BSSToken: s.BSSToken,
		Tokens:   s.Tokens(log),
		Transport: &Transport{
			CAFile:             s.CAFile,
			ConnectTimeout:     s.ConnectTimeout,
			ReadTimeout:        s.ReadTimeout,
			InsecureSkipVerify: s.InsecureSkipVerify,
		},
		Timeout:      s.ConnectTimeout + s.ReadTimeout,
		TTL:          s.TTL,
		InitialSplay: s.InitialSplay,
		Log:          log,
		Sleep:        BootSleep,
	}
	if s.StatusFile == "" {
		return cfg
	}
	if last, err := ReadStatus(s.StatusFile); err == nil && last.Xname == s.ID {
		cfg.Last = last
	}
	warned := false
	cfg.Observe = func(st Status) {
		if err := st.WriteFile(s.StatusFile); err != nil && !warned {
			warned = true
			log.Warn("status file", "err", err)
		}
	}
	return cfg
}

func orString(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
