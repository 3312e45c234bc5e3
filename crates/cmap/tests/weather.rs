//! Odd weather: systems that refuse, processes that fork or end, threads that come, go and stall. What would disturb other tests
//! has a process of its own. Unsafe code here asks the system for what std does not.

#[path = "weather/barriers.rs"]
mod barriers;
mod common;
#[path = "weather/ends.rs"]
mod ends;
#[path = "weather/fork.rs"]
mod fork;
#[path = "weather/refusals.rs"]
mod refusals;
#[path = "weather/stalls.rs"]
mod stalls;
