//! A client has come: it gets its place, and goes to the core that this is on.

use std::rc::Rc;

use crate::net::Accepted;

use super::context::Context;
use super::driver::serve;
use super::login::{Ticket, TooMany};
use super::post::send_client;

/// A client that has come, on its way to the core that will serve it. Dropped, wherever that is, its connection is closed.
pub(super) struct Arrival {
    pub accepted: Accepted,
    pub ticket: Ticket,
}

/// Takes a client in that this core has accepted.
///
/// # Errors
/// The client, and why it can't stay.
pub fn receive(ctx: &Rc<Context>, accepted: Accepted) -> Result<(), (Accepted, TooMany)> {
    let here = ctx.core_index();
    let address = accepted.peer().map(|peer| peer.ip());
    let ticket = match ctx.shared.clients.admit(here, address) {
        Ok(ticket) => ticket,
        Err(too_many) => {
            // For the next one.
            ctx.lobby.make_room(&ctx.shared.clients, ctx.core.timers.now());
            return Err((accepted, too_many));
        }
    };
    let arrival = Arrival { accepted, ticket };
    if arrival.ticket.core() == here {
        begin(ctx, arrival);
    } else if let Err(arrival) = send_client(ctx, arrival) {
        arrival.ticket.change_core(here);
        begin(ctx, arrival);
    } else {
        ctx.metrics.connections_handed_over.inc();
    }
    Ok(())
}

/// The client is served here. Of a core that drains it learns so, as everybody does who is on the way in.
pub(super) fn begin(ctx: &Rc<Context>, arrival: Arrival) {
    ctx.lobby.make_room(&ctx.shared.clients, ctx.core.timers.now());
    let Arrival { accepted, ticket } = arrival;
    let peer = accepted.peer();
    let socket = accepted.on(&ctx.core.ring);
    ctx.core.spawn(serve(ctx.clone(), socket, peer, Rc::new(ticket)));
}
