package systemtest

import "testing"

// raceDetector is set where the tests run under the race detector, which makes them about ten times as slow.
var raceDetector bool

// sparse reports whether there is no time for everything: a part of each enumeration will do.
func sparse() bool { return testing.Short() || raceDetector }
