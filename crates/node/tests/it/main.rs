//! Tests of a node from outside: its configuration, and real nodes on ports the system chooses.
//!
//! They run under jemalloc with active profiling, as the binary does.

mod api;
mod broken;
mod client;
mod config;
mod drain;
mod gateway_config;
mod gateways;
mod node;
mod profiles;
mod tls;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by jemalloc when it starts; sampled often, so that a small program shows up.
#[expect(non_upper_case_globals, reason = "jemalloc looks for this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static malloc_conf: &[u8] = b"prof:true,prof_active:true,lg_prof_sample:12\0";
