//! Which changes a client is told of. Links have the server report more than it has asked for, so a statement about the
//! variables that choose finds the client's own values there, and Athena's are put back behind it.

use crate::net::Payload;
use crate::parser::{Facts, Hazards};
use crate::pool::{LinkError, SmallReply};
use crate::protocol::reply::Reply;
use crate::protocol::tracked::Tracked;

use super::driver::Session;
use super::failure::Stop;
use super::link::Use;
use super::seen::Seen;
use super::settle::closes_link;

impl Session {
    /// [`Session::relay`] of a statement with [`Hazards::TRACKERS`].
    pub async fn relay_with_own_trackers(
        &mut self,
        link: &mut Use,
        facts: Facts,
        command: Payload,
        reply: &mut Reply,
        seen: &mut Seen,
    ) -> Result<Payload, Stop> {
        let asked = self.tracked.clone();
        if let SmallReply::Err(_) = self.backend(link.lease().track_only(&asked)).await? {
            // In a state in which the server takes no SET: it has its own words for the client's statement, too.
            return self.relay(link, command, reply, seen).await;
        }
        let sets = facts.hazards.contains(Hazards::SET_SESSION);
        if sets {
            // The server knows what it is to tell of the statement itself.
            self.tracked = Tracked::everything();
        }
        let outcome = self.relay(link, command, reply, seen).await;
        self.tracked = asked;
        if outcome.is_ok() && !closes_link(facts, seen) {
            if seen.warned || seen.error.is_some() {
                seen.listed = self.backend(link.lease().warnings()).await?;
            }
            if sets {
                self.tracked = self.now_tracked(link).await?;
            }
            if let SmallReply::Err(_) = self.backend(link.lease().track_all(&self.tracked)).await? {
                return Err(LinkError::Closed.into());
            }
        }
        outcome
    }

    /// What the client has just asked for.
    async fn now_tracked(&self, link: &mut Use) -> Result<Tracked, Stop> {
        let now = self.backend(link.lease().tracked(&self.tracked)).await?.ok_or(LinkError::Closed)?;
        let profile = self.profile();
        Ok(match profile {
            Some(profile) => now.and(profile.always_tracked()),
            None => now,
        })
    }
}
