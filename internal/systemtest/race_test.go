//go:build race

package systemtest

func init() { raceDetector = true }
