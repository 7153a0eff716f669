//! The gate under a stopped clock. A timer that woke itself again and again would never let it go
//! on, so these tests also show that it sleeps.

use fetchway_policy::{QueueBounds, Rate};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::time::Instant as Clock;

use super::*;

const MS: Duration = Duration::from_millis(1);

const PLENTY: AccountLimits = AccountLimits {
    in_flight: 1_000,
    queued: 1_000,
    queued_bytes: 1 << 20,
};

fn gate(set: impl FnOnce(&mut LaneConfig)) -> (Arc<Gate>, AccountId, Arc<Origin>) {
    let mut lane = LaneConfig::default();
    set(&mut lane);
    let gate = Gate::new(&[lane], Vec::new(), OriginLimits::default());
    let account = gate.open_account(PLENTY);
    let origin = gate.origin("http://a.test", "a.test");
    (gate, account, origin)
}

fn asking(account: AccountId) -> Asking {
    Asking {
        lane: 0,
        account,
        bytes: 100,
        repeated: false,
    }
}

async fn admit(
    gate: &Arc<Gate>,
    origin: &Origin,
    account: AccountId,
) -> Result<Permit, FetchError> {
    gate.ask(origin, asking(account))?.come().await
}

#[tokio::test(start_paused = true)]
async fn a_pace_is_an_absolute_schedule() {
    let window = Duration::from_secs(1);
    let (gate, account, origin) = gate(|lane| lane.rate = Some(Rate { count: 200, window }));
    let began = Clock::now();
    let starts = join_all((0..400).map(|_| async {
        let permit = admit(&gate, &origin, account).await;
        permit.map(|_| began.elapsed())
    }));
    for (n, at) in (0u32..).zip(starts.await) {
        let (due, at) = (5 * MS * n, at.unwrap());
        assert!(
            at >= due && at <= due + 2 * MS,
            "number {n} at {at:?}, due at {due:?}"
        );
    }
    assert_eq!(gate.lane_stats(0), LaneStats::default());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_queue_says() {
    let (gate, account, origin) = gate(|lane| {
        lane.concurrency = 1;
        lane.queue = QueueBounds {
            wait: 50 * MS,
            ..lane.queue
        };
    });
    let began = Clock::now();
    let held = admit(&gate, &origin, account).await.unwrap();
    let error = admit(&gate, &origin, account).await.err().unwrap();
    assert_eq!(error.name, ErrorName::QueueTimeout);
    assert!((50 * MS..=52 * MS).contains(&began.elapsed()));
    // One that is given a permit in time keeps it, however long it then takes.
    let mut waiting = Box::pin(admit(&gate, &origin, account));
    assert!((&mut waiting).now_or_never().is_none());
    tokio::time::sleep(40 * MS).await;
    drop(held);
    tokio::time::sleep(40 * MS).await;
    assert!(waiting.await.is_ok());
    assert_eq!(gate.lane_stats(0), LaneStats::default());
}

#[tokio::test(start_paused = true)]
async fn a_slowed_origin_is_left_alone_and_others_are_not() {
    let (gate, account, origin) = gate(|_| ());
    let other = gate.origin("http://b.test", "b.test");
    let began = Clock::now();
    gate.slow(&origin, 500 * MS);
    assert!(admit(&gate, &other, account).await.is_ok());
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(admit(&gate, &origin, account).await.is_ok());
    assert!((500 * MS..=502 * MS).contains(&began.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_slowed_origin_is_remembered_when_nobody_holds_it() {
    let (gate, account, origin) = gate(|_| ());
    gate.slow(&origin, 500 * MS);
    drop(origin);
    gate.sweep();
    let origin = gate.origin("http://a.test", "a.test");
    let began = Clock::now();
    assert!(admit(&gate, &origin, account).await.is_ok());
    assert!(began.elapsed() >= 500 * MS);
    drop(origin);
    gate.sweep();
    assert_eq!(gate.state.lock().schedule.origins(), 0);
    assert!(gate.state.lock().origins.is_empty());
}

#[tokio::test]
async fn whoever_goes_leaves_nothing_behind() {
    let (gate, account, origin) = gate(|lane| lane.concurrency = 2);
    let held = [
        admit(&gate, &origin, account).await.unwrap(),
        admit(&gate, &origin, account).await.unwrap(),
    ];
    let mut waiting: Vec<_> = (0..10)
        .map(|_| Box::pin(admit(&gate, &origin, account)))
        .collect();
    for wait in &mut waiting {
        assert!(wait.now_or_never().is_none());
    }
    // The first goes before its turn, the second after it was given one and before it knew.
    drop(waiting.remove(0));
    drop(held);
    drop(waiting.remove(0));
    let rest = join_all(
        waiting
            .into_iter()
            .map(|wait| wait.map(|permit| drop(permit.unwrap()))),
    );
    rest.await;
    assert_eq!(gate.lane_stats(0), LaneStats::default());
    assert_eq!(gate.account_stats(account), AccountStats::default());
    assert!(gate.state.lock().waiting.is_empty());
}

#[tokio::test]
async fn a_closed_session_is_told_so() {
    let (gate, account, origin) = gate(|_| ());
    gate.close_account(account);
    let error = admit(&gate, &origin, account).await.err().unwrap();
    assert_eq!(error.name, ErrorName::Cancelled);
}
