package systemtest

import "testing"

// raceDetector is set where the tests run under the race detector. Its timers in a synctest bubble must not run on two
// processors at once: Go 1.26 crashes then. So TestMain leaves it one.
var raceDetector bool

// sparse reports whether there is no time for everything: a part of each enumeration will do.
func sparse() bool { return testing.Short() || raceDetector }
