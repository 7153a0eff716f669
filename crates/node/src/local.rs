//! A performer for a batch of this process: an engine of its own, by the configuration of a node.

use std::sync::Arc;
use std::time::Duration;

use fetchway_fetch::{Account, AccountConfig, AccountLimits, Engine, NoObserver};
use fetchway_performers::Local;

use crate::config::Config;
use crate::start_error::StartError;

/// Returns a performer with lanes, limits of origins, address policy, certificates, names, timeouts and
/// memory for bodies by `config`. Its engine keeps up to `concurrency` idle connections to an origin. One try
/// may take `timeout`. Must be called within a tokio runtime.
///
/// # Errors
/// A file that the configuration names can't be read, or no engine can be built from the configuration.
pub fn local_performer(
    config: &Config,
    concurrency: usize,
    timeout: Option<Duration>,
) -> Result<Local, StartError> {
    let mut engine = config.engine_config()?;
    // The batch slows down for origins that ask for it.
    engine.retry_after_cap = Duration::ZERO;
    engine.pool.idle_per_origin = engine.pool.idle_per_origin.max(concurrency);
    engine.pool.idle_total = engine.pool.idle_total.max(concurrency);
    let bodies = engine.body_budget;
    let engine = Engine::new(engine, Arc::new(NoObserver)).map_err(StartError::Engine)?;
    let network = engine.network(&Arc::new(config.address_policy(&[])));
    // The batch has bounds of its own, which are tighter.
    let most = usize::MAX >> 1;
    let limits = AccountLimits {
        in_flight: most,
        queued: most,
        queued_bytes: most,
    };
    Ok(Local {
        account: Account::open(&engine, network, AccountConfig { limits, bodies }),
        origins: config.origin_rules(),
        principal: None,
        timeout,
    })
}
