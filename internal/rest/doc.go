// Package rest is the HTTP plumbing of the service clients: one [Client] per service, with the retries, time-outs and
// limits that services expect of a good client, and one [Error] type for all that goes wrong.
//
// A call is [Client.Do] with a [Request] and a function that reads the answer, usually [JSON] or one that calls
// [ReadList]. The function is called once per try, so it starts afresh each time.
//
// What is retried (Source: BOS v2, HTTP client policy; urllib3 Retry):
//
//	                                   GET HEAD PUT DELETE, read-only POST   other POST, PATCH
//	connection not made                yes                                   yes
//	status 500 502 503 504             yes                                   no
//	silence or broken connection       yes                                   no
//	413 429 503 with Retry-After       yes, after that time if it is > 0     no
//	anything else                      no                                    no
//
// A call and its retries count as one for the [Breaker] of the client, which keeps callers away from a service that is away.
package rest
