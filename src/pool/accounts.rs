//! What a pool knows of the accounts that its links log in with: how many links each has, and which may have no more.

use std::rc::Rc;
use std::time::Instant;

use super::identity::BackendAccount;

#[derive(Default)]
pub(super) struct Accounts {
    /// How many links each account has, those being opened among them; none that has none.
    links: Vec<(Rc<BackendAccount>, usize)>,
    /// Accounts that the server lets have no more connections, and when it is asked again.
    full: Vec<(Rc<BackendAccount>, Instant)>,
}

impl Accounts {
    /// A link is opened.
    pub fn count_in(&mut self, account: &Rc<BackendAccount>) {
        match self.links.iter_mut().find(|(known, _)| known == account) {
            Some((_, count)) => *count += 1,
            None => self.links.push((account.clone(), 1)),
        }
    }

    /// A link is no more, or could not be opened.
    pub fn count_out(&mut self, account: &Rc<BackendAccount>) {
        if let Some((_, count)) = self.links.iter_mut().find(|(known, _)| known == account) {
            *count -= 1;
            self.links.retain(|(_, count)| *count > 0);
        }
    }

    pub fn has_links(&self, account: &Rc<BackendAccount>) -> bool {
        self.links.iter().any(|(known, _)| known == account)
    }

    /// The server has refused one more connection.
    pub fn note_full(&mut self, account: &Rc<BackendAccount>, again: Instant) {
        self.full.push((account.clone(), again));
    }

    /// Forgets what the server said long enough ago.
    pub fn ask_again(&mut self, now: Instant) {
        self.full.retain(|(_, again)| now < *again);
    }

    pub fn is_full(&self, account: &Rc<BackendAccount>) -> bool {
        self.full.iter().any(|(known, _)| known == account)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::auth::Secret;

    #[test]
    fn an_account_has_links_until_the_last_is_gone_and_is_full_for_a_while() {
        let account = |user: &[u8]| BackendAccount::new(user, Secret::password(b"p"));
        let (ann, bob) = (account(b"ann"), account(b"bob"));
        let mut accounts = Accounts::default();
        accounts.count_in(&ann);
        accounts.count_in(&account(b"ann"));
        accounts.count_out(&bob);
        accounts.count_out(&ann);
        assert!(accounts.has_links(&ann) && !accounts.has_links(&bob));
        accounts.count_out(&ann);
        assert!(!accounts.has_links(&ann));
        let now = Instant::now();
        accounts.note_full(&ann, now + Duration::from_secs(1));
        accounts.ask_again(now);
        assert!(accounts.is_full(&ann) && !accounts.is_full(&bob));
        accounts.ask_again(now + Duration::from_secs(1));
        assert!(!accounts.is_full(&ann));
    }
}
