// Package bostest checks a BOS API server: [NewServer] starts one for tests, [RunAPI] drives the conformance cases
// API-001 to API-152 over HTTP, [RunMethods] the methods of bos.API, [RunConcurrent] many clients at once.
//
// A vendor with a store of their own runs the suites against it:
//
//	func TestAPI(t *testing.T) {
//		bostest.RunAPI(t, func(t testing.TB) *bostest.Fixture {
//			return bostest.NewServer(t, bostest.Options{Driver: mystore.New(t.TempDir())})
//		})
//	}
//
// Every answer is also checked against the OpenAPI document of package bos. The last line of each suite counts its cases;
// this prints it for every store:
//
//	go test -v -run 'TestAPI' ./bos/bostest | grep 'API cases'
package bostest
