//! What is read before a password is proved, on both sides.

use athena::protocol::auth::rsa::RsaKeyPair;
use athena::protocol::auth::{
    Check, ClientAuth, Credential, Evidence, Plugin, Salt, Secret, ServerAuth, Verdict,
};
use athena::protocol::capability::Capabilities;
use athena::protocol::handshake::{AuthSwitchRequest, ChangeUser, ClientHello, Greeting};

use super::cuts::option;

const SALT: Salt = *b"abcdefghijklmnopqrst";
/// Of a thousand rounds, and of no known password.
const HASH: &str = "$A$001$abcdefghijklmnopqrstooooooooooooooooooooooooooooooooooooooooooo";
const PASSWORD: &[u8] = b"a password that no fuzzer guesses";

/// A greeting, or a request for another plugin, says the same after it was written and read.
pub fn greeting(bytes: &[u8]) {
    if let Ok(greeting) = Greeting::parse(bytes) {
        assert_eq!(Greeting::parse(&greeting.encode()), Ok(greeting));
    }
    if let Ok(request) = AuthSwitchRequest::parse(bytes) {
        assert_eq!(AuthSwitchRequest::parse(&request.encode()), Ok(request));
    }
}

/// A client's first packet says the same after it was written and read.
pub fn client_hello(bytes: &[u8]) {
    if let Ok(ClientHello::Response(response)) = ClientHello::parse(bytes) {
        let written = response.encode();
        assert_eq!(ClientHello::parse(&written), Ok(ClientHello::Response(response)));
    }
}

/// What a client says of another user is within the packet, whatever the client can do.
pub fn change_user(bytes: &[u8]) {
    let (options, arguments) = option(bytes);
    let flag = |bit: u8| options >> bit & 1 == 1;
    let mut capabilities = Capabilities::PROTOCOL_41;
    capabilities.set(Capabilities::SECURE_CONNECTION, flag(0));
    capabilities.set(Capabilities::PLUGIN_AUTH, flag(1));
    capabilities.set(Capabilities::CONNECT_ATTRS, flag(2));
    let Ok(user) = ChangeUser::parse(arguments, capabilities) else { return };
    assert!(arguments.starts_with(&user.username));
    assert!(user.auth_plugin.is_none() || flag(1));
    assert!(user.attributes.is_empty() || flag(2));
    let said = user.attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    assert!(user.username.len() + user.auth_response.len() + said < arguments.len());
}

/// A server that asks for anything in any order gets an answer or an error, and never the password in clear text over a
/// connection that is not encrypted.
pub fn auth_client(bytes: &[u8]) {
    let (options, rest) = option(bytes);
    let secure = options & 1 == 1;
    let secret = Secret::Password(PASSWORD.to_vec().into());
    let mut auth = ClientAuth::new(&secret, secure);
    let offered = [&b"mysql_native_password"[..], b"caching_sha2_password", b"sha256_password", b"x"];
    let (_, response) = auth.first_response(offered[usize::from(options >> 1) % offered.len()], &SALT);
    assert_secret(&response, secure);
    for packet in pieces(rest) {
        match auth.step(packet) {
            Ok(action) => assert_secret(format!("{action:?}").as_bytes(), secure),
            Err(_) => return,
        }
    }
}

fn assert_secret(sent: &[u8], secure: bool) {
    let seen = sent.windows(PASSWORD.len()).any(|window| window == PASSWORD);
    assert!(secure || !seen, "the password in clear text");
}

/// Whatever a client sends, it is not let in without the password, and hears of a verdict after a few packets.
pub fn auth_server(bytes: &[u8]) {
    thread_local! {
        static RSA: RsaKeyPair = RsaKeyPair::generate().expect("a key pair");
    }
    let (options, rest) = option(bytes);
    let (kind, rest) = option(rest);
    let flag = |bit: u8| options >> bit & 1 == 1;
    let credential = match kind & 3 {
        0 => Credential::password(PASSWORD),
        1 => Credential::Native([7; 20]),
        2 => Credential::parse_hash(HASH).expect("a hash"),
        _ => Credential::Ed25519([7; 32]),
    };
    let account = flag(0).then_some(&credential);
    let offered = if flag(1) { Plugin::Native } else { Plugin::CachingSha2 };
    RSA.with(|rsa| {
        let nonce = (kind & 4 == 4).then_some([7; 32]);
        let auth = ServerAuth::new(offered, &SALT, account, rsa, flag(2), flag(3));
        let mut auth = auth.with_nonce(nonce).pretending(credential.of_nobody(SALT));
        let mut packets = pieces(rest);
        let plugins = [None, Some(&b"mysql_native_password"[..]), Some(b"caching_sha2_password"), Some(b"x")];
        let named = plugins[usize::from(options >> 4) % plugins.len()];
        let mut verdict = auth.begin(named, packets.next().unwrap_or_default());
        let mut asked = 0;
        loop {
            assert!(asked < 5, "a client is asked for ever");
            verdict = match verdict {
                Verdict::Send(_) => {
                    asked += 1;
                    auth.step(packets.next().unwrap_or_default())
                }
                Verdict::Accept | Verdict::SendThenAccept(_) => panic!("let in without the password"),
                Verdict::Work => auth.work(),
                Verdict::Deny => return,
            }
        }
    });
}

/// Whatever a server has stored for an account, nothing is proved by showing nothing, and who does not exist looks alike.
pub fn credentials(bytes: &[u8]) {
    let (options, text) = option(bytes);
    let plugins =
        [&b""[..], b"mysql_native_password", b"caching_sha2_password", b"sha256_password", b"ed25519", b"x"];
    let plugin = plugins[usize::from(options) % plugins.len()];
    let written = std::str::from_utf8(text).ok().and_then(Credential::parse_hash);
    for credential in [Credential::stored(plugin, text), written].into_iter().flatten() {
        assert!(!proves(&credential, &Evidence::None));
        let let_in = proves(&credential, &Evidence::Empty);
        assert!(!let_in || text.is_empty(), "let in without the password");
        let nobody = credential.of_nobody(SALT);
        assert!(nobody.is_like(&credential));
        assert!(!proves(&nobody, &Evidence::Empty));
        assert!(!proves(&nobody, &Evidence::NativeScramble([7; 20])));
        assert!(!proves(&nobody, &Evidence::Sha2Scramble([7; 32])));
    }
}

/// Evidence without a password is judged at once.
fn proves(credential: &Credential, evidence: &Evidence) -> bool {
    matches!(credential.check(evidence, &SALT), Check::Done(Some(_)))
}

/// Packets, each behind a byte with its length.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        let (piece, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        Some(piece)
    })
}
