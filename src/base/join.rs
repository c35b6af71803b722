//! Several futures at the same time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A future, or its outcome.
enum Part<F: Future> {
    Runs(Pin<Box<F>>),
    Done(Option<F::Output>),
}

/// The outcomes of all, in their order. Each step polls all that aren't complete: it is for few.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut parts: Vec<_> = futures.into_iter().map(|future| Part::Runs(Box::pin(future))).collect();
    poll_fn(|context| {
        let mut all = true;
        for part in &mut parts {
            let Part::Runs(future) = part else { continue };
            match future.as_mut().poll(context) {
                Poll::Ready(outcome) => *part = Part::Done(Some(outcome)),
                Poll::Pending => all = false,
            }
        }
        if all { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let outcome = |part| match part {
        Part::Done(outcome) => outcome,
        Part::Runs(_) => None,
    };
    parts.into_iter().filter_map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    /// Complete after so many polls, with their number.
    fn after(polls: u32) -> impl Future<Output = u32> {
        let left = Cell::new(polls);
        poll_fn(move |_| match left.replace(left.get().saturating_sub(1)) {
            0 => Poll::Ready(polls),
            _ => Poll::Pending,
        })
    }

    #[test]
    fn all_run_at_the_same_time_and_keep_their_order() {
        let mut joined = pin!(join_all([3, 0, 5].map(after)));
        let mut context = Context::from_waker(Waker::noop());
        let polls = (0..).find_map(|polls| match joined.as_mut().poll(&mut context) {
            Poll::Ready(outcomes) => Some((polls, outcomes)),
            Poll::Pending => None,
        });
        assert_eq!(polls, Some((5, vec![3, 0, 5])), "as long as the longest");
    }

    #[test]
    fn none_are_complete_at_once() {
        let mut joined = pin!(join_all(Vec::<std::future::Ready<()>>::new()));
        assert!(joined.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
