package reporter

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// wakeDistance is the least time between a try and one that [Reporter.Wake] asked for.
	wakeDistance = 5 * time.Second
	// untrustedReminder is how often a certificate that does not verify is logged again.
	untrustedReminder = time.Hour
)

// ErrNothingToReport means that the kernel command line has no bss_referral_token: the node was not booted through BOS.
var ErrNothingToReport = errors.New("no bss_referral_token on the kernel command line: the node was not booted through BSS and BOS")

// Config is what a [Reporter] needs to know. ID, API and BSSToken are required.
type Config struct {
	// ID is the component's id; see CheckID.
	ID string
	// API is the address of BOS without "/v2", such as "https://gw/apis/bos"; see BaseURL.
	API string
	// BSSToken returns what to report; "" means that there is nothing. It is called before each try.
	BSSToken func() (string, error)
	// Tokens finds the credentials; nil means NoToken.
	Tokens TokenSource
	// Transport carries the requests; nil means a new Transport.
	Transport http.RoundTripper
	// Timeout ends a try once the credentials are there; 0 means 13 s, to connect and to be answered.
	Timeout time.Duration
	// TTL sets the period; see Period. "" means DefaultTTL.
	TTL string
	// InitialSplay is the most that the first report is put off, by a random part of it. 0 means not at all.
	InitialSplay time.Duration
	// Random returns a number in [0,1); nil means math/rand.
	Random func() float64
	// Log is told of starts, failures and recoveries; nil means nobody is.
	Log *slog.Logger
	// Last is the status of an earlier reporter of the same node, if it is known.
	Last Status
	// Observe is called after each try with the status; nil means nothing. It must not block.
	Observe func(Status)
	// Idle is called with true when the wait for the next report begins and with false when it ends; nil means nothing.
	Idle func(bool)
	// Sleep waits for a time or until the context ends; nil means the function Sleep. On a node that may be
	// suspended, set BootSleep.
	Sleep func(context.Context, time.Duration)
}

// Reporter reports the state of one node for ever.
type Reporter struct {
	cfg     Config
	period  time.Duration // 0: once
	status  Status
	tried   time.Time // when the last try began
	praised bool      // the first success has been logged

	mu     sync.Mutex
	woken  bool
	cancel context.CancelFunc // of the present pause, if any
}

// New returns a reporter. It does nothing before [Reporter.Run] or [Reporter.Once] is called.
func New(cfg Config) (*Reporter, error) {
	if err := CheckID(cfg.ID); err != nil {
		return nil, err
	}
	if cfg.API == "" || cfg.BSSToken == nil {
		return nil, errors.New("the API's address and the source of the BSS token are required")
	}
	if cfg.Tokens == nil {
		cfg.Tokens = NoToken
	}
	if cfg.Transport == nil {
		cfg.Transport = new(Transport)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Sleep == nil {
		cfg.Sleep = Sleep
	}
	cfg.Timeout = orDefault(cfg.Timeout, DefaultConnectTimeout+DefaultReadTimeout)
	r := &Reporter{cfg: cfg, period: DefaultTTL / 4 * 3, status: cfg.Last}
	if cfg.TTL != "" {
		var err error
		if r.period, err = Period(cfg.TTL); err != nil {
			cfg.Log.Warn("report period", "period", r.period, "err", err)
		}
	}
	r.status.Xname, r.status.PeriodSeconds = cfg.ID, r.period.Seconds()
	return r, nil
}

// Period returns the time between two reports; 0 means that there is only one.
func (r *Reporter) Period() time.Duration { return r.period }

// Wake asks for a report now. It is the same to a reporter that waits for the next report, pauses between two tries,
// or is idle; but a try never begins sooner than 5 seconds after the last one did. It is safe for concurrent use.
func (r *Reporter) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.woken = true
	if r.cancel != nil {
		r.cancel()
	}
}

// Run reports until ctx ends, and returns its cause. Call it once.
//
// The first report goes out at once and the second after a random part of the period; from then on the period
// is kept. A report that fails is tried again until it succeeds. With a period of zero, and while there is nothing to
// report, Run only waits to be woken.
func (r *Reporter) Run(ctx context.Context) error {
	if splay := r.cfg.InitialSplay; splay > 0 {
		r.pause(ctx, FirstWait(splay, r.cfg.Random()))
	}
	first, warned := true, false
	for ctx.Err() == nil {
		err := r.deliver(ctx, false)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, ErrNothingToReport) {
			if !warned {
				r.cfg.Log.Warn("nothing to report", "xname", r.cfg.ID, "err", err)
			}
			warned = true
			r.status.LastError = err.Error()
			r.rest(ctx, -1)
			continue
		}
		switch {
		case r.period == 0:
			r.rest(ctx, -1)
		case first:
			r.rest(ctx, FirstWait(r.period, r.cfg.Random()))
		default:
			r.rest(ctx, r.period)
		}
		first = false
	}
	return context.Cause(ctx)
}

// Undelivered says that BOS did not get the report before [Reporter.Once] gave up.
type Undelivered struct {
	Last  Answer // of the last try that ended by itself, where there was one
	Tries int
}

// Error describes the last answer.
func (u *Undelivered) Error() string { return u.Last.Text }

// Once makes one report, and tries until it succeeds, ctx ends or the credentials are refused twice in a row. The
// error is [ErrNothingToReport] or an [*Undelivered].
func (r *Reporter) Once(ctx context.Context) error {
	err := r.deliver(ctx, true)
	if err != nil {
		r.status.LastError = err.Error()
	}
	r.observe(-1)
	return err
}

// deliver tries until BOS has the report, there is nothing to report, or ctx ends.
func (r *Reporter) deliver(ctx context.Context, once bool) error {
	var (
		backoff Backoff
		noise   noise
		last    Answer
		refused int // in a row
		began   = time.Now()
	)
	for n := 1; ; n++ {
		r.tried = time.Now()
		a, err := r.try(ctx, refused > 0)
		if err != nil {
			return err
		}
		r.status.LastAttempt = new(r.tried.UTC())
		if a.Outcome == Accepted {
			r.succeeded(n, began)
			return nil
		}
		cut := ctx.Err() != nil // the try did not end by itself
		if !cut || n == 1 {
			last = a
		}
		if a.Outcome == Refused {
			refused++
		} else if a.Outcome != NoCredentials {
			refused = 0
		}
		if cut || once && refused > 1 {
			return &Undelivered{last, n}
		}
		pause := backoff.Next(a, r.cfg.Random())
		if loud, level := noise.hear(a, time.Now()); loud {
			if once { // Once's caller gets the error
				level = slog.LevelDebug
			}
			r.cfg.Log.Log(ctx, level, a.Outcome.String(), "xname", r.cfg.ID, "try", n, "err", a.Text,
				"retry_in", pause.Round(100*time.Millisecond))
		}
		r.status.LastError = a.Text
		r.status.Attempts++
		r.observe(pause)
		if r.pause(ctx, pause); ctx.Err() != nil {
			return &Undelivered{last, n}
		}
	}
}

// try makes one try. The error is ErrNothingToReport or nil.
func (r *Reporter) try(ctx context.Context, refused bool) (Answer, error) {
	bss, err := r.cfg.BSSToken()
	if err != nil {
		return Answer{Outcome: Unreadable, Text: err.Error(), cause: err.Error()}, nil
	}
	if bss == "" {
		return Answer{}, ErrNothingToReport
	}
	bearer, err := r.cfg.Tokens.Token(ctx, refused)
	if err != nil {
		return Answer{Outcome: NoCredentials, Text: err.Error(), cause: err.Error()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	req, err := Report{r.cfg.ID, bss}.Request(ctx, r.cfg.API, bearer)
	if err != nil {
		return failedTrip(err), nil
	}
	resp, err := r.cfg.Transport.RoundTrip(req)
	return ReadAnswer(resp, err, bearer, bss), nil
}

func (r *Reporter) succeeded(n int, began time.Time) {
	took := time.Since(began).Round(time.Millisecond)
	switch {
	case n > 1:
		r.cfg.Log.Info("reported after failures", "xname", r.cfg.ID, "tries", n, "duration", took)
	case !r.praised:
		r.cfg.Log.Info("reported", "xname", r.cfg.ID, "duration", took)
	default:
		r.cfg.Log.Debug("reported", "xname", r.cfg.ID, "duration", took)
	}
	r.praised = true
	r.status.LastSuccess = new(time.Now().UTC())
	r.status.LastError, r.status.Attempts = "", 0
}

// observe shows the status, with the next try after d; if d is negative none is planned.
func (r *Reporter) observe(d time.Duration) {
	r.status.NextReport = nil
	if d >= 0 {
		r.status.NextReport = new(time.Now().UTC().Add(d))
	}
	if r.cfg.Observe != nil {
		r.cfg.Observe(r.status)
	}
}

// rest is a pause between two reports.
func (r *Reporter) rest(ctx context.Context, d time.Duration) {
	r.observe(d)
	if r.cfg.Idle != nil {
		r.cfg.Idle(true)
		defer r.cfg.Idle(false)
	}
	r.pause(ctx, d)
}

// pause waits for d, for ever if it is negative, until it is woken, or until ctx ends.
func (r *Reporter) pause(ctx context.Context, d time.Duration) {
	began := time.Now()
	if !r.pauseUntilWoken(ctx, d) || ctx.Err() != nil {
		return
	}
	wait := wakeDistance - time.Since(r.tried)
	if d >= 0 { // not later than it would have been
		wait = min(wait, d-time.Since(began))
	}
	if wait > 0 {
		r.cfg.Sleep(ctx, wait)
	}
}

// pauseUntilWoken is pause without the distance between tries; it tells whether it was woken.
func (r *Reporter) pauseUntilWoken(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	if r.cancel = cancel; r.woken {
		cancel()
	}
	r.mu.Unlock()

	if d < 0 {
		<-ctx.Done()
	} else {
		r.cfg.Sleep(ctx, d)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	woken := r.woken
	r.woken, r.cancel = false, nil
	return woken
}

// noise decides which failures of a series are worth a line.
type noise struct {
	last   Answer
	count  int       // of equal failures
	logged time.Time // of the last line
}

// hear takes note of a failure and tells whether to log it, and at which level: the 1st, 2nd, 4th, 8th … of equal
// ones; of redirects the first; of certificates that do not verify the first and one an hour.
func (n *noise) hear(a Answer, now time.Time) (loud bool, level slog.Level) {
	if n.count++; !a.equal(n.last) {
		n.count = 1
	}
	n.last = a
	level = slog.LevelWarn
	switch a.Outcome {
	case Conflict:
		level = slog.LevelInfo
	case Untrusted, NoCredentials, Unreadable:
		level = slog.LevelError
	}
	loud = n.count&(n.count-1) == 0
	switch a.Outcome {
	case Redirected:
		loud = n.count == 1
	case Untrusted:
		loud = n.count == 1 || now.Sub(n.logged) >= untrustedReminder
	}
	if loud {
		n.logged = now
	}
	return loud, level
}

// String says what happened, as in the log.
func (o Outcome) String() string {
	switch o {
	case Accepted:
		return "reported"
	case Conflict:
		return "bos takes no report now"
	case Unknown:
		return "bos has no record of this component"
	case Refused:
		return "credentials refused"
	case Redirected:
		return "redirect not followed"
	case Unreachable:
		return "gateway not reached"
	case Untrusted:
		return "gateway not trusted"
	case NoCredentials:
		return "no token yet"
	case Unreadable:
		return "kernel command line not readable"
	}
	return "report not accepted"
}
