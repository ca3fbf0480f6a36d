use std::sync::LazyLock;

use super::super::handshake::{AUTH_MORE_DATA, AuthSwitchRequest, HandshakeError, encode_auth_more_data};
use super::super::response::ErrPacket;
use super::rsa::{RsaError, RsaKeyPair};
use super::*;

const SALT: Salt = *b"abcdefghijklmnopqrst";
const OK: &[u8] = b"\0\0\0\x02\0\0\0";

/// Making a key is slow, so the tests share one.
static KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate().expect("a key"));

static PW: LazyLock<Secret> = LazyLock::new(|| Secret::password(b"pw"));

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn denied() -> ErrPacket {
    ErrPacket { code: 1045, sql_state: *b"28000", message: b"Access denied".to_vec() }
}

/// What a login looked like: its outcome, and the payloads that went each way.
#[derive(Debug, PartialEq, Eq)]
struct Login {
    accepted: bool,
    from_server: Vec<Vec<u8>>,
    from_client: Vec<Vec<u8>>,
}

impl Login {
    fn sizes(&self) -> Vec<usize> {
        self.from_client.iter().map(Vec::len).collect()
    }
}

#[derive(Clone, Copy)]
struct Case<'a> {
    greeting: Plugin,
    account: Option<&'a str>,
    password: &'a str,
    cached: bool,
    secure: bool,
    /// What the client says its plugin is; by default the plugin that it used.
    claims: Option<&'a [u8]>,
    /// What the client takes for the offer.
    believes: Plugin,
}

const CASE: Case<'_> = Case {
    greeting: Plugin::CachingSha2,
    account: Some("secret"),
    password: "secret",
    cached: false,
    secure: false,
    claims: None,
    believes: Plugin::CachingSha2,
};

/// Lets the two machines talk until there is a verdict.
fn login(case: Case<'_>) -> Login {
    let credential = case.account.map(|password| Credential::password(password.as_bytes()));
    let mut server =
        ServerAuth::new(case.greeting, &SALT, credential.as_ref(), &KEY, case.cached, case.secure);
    let secret = Secret::password(case.password.as_bytes());
    let mut client = ClientAuth::new(&secret, case.secure);
    let (plugin, response) = client.first_response(case.believes.name().as_bytes(), &SALT);
    let mut verdict = server.begin(Some(case.claims.unwrap_or(plugin.name().as_bytes())), &response);
    let mut log = Login { accepted: false, from_server: Vec::new(), from_client: vec![response] };
    loop {
        let (packets, accepted) = match verdict {
            Verdict::Send(packet) => (vec![packet], None),
            Verdict::SendThenAccept(packet) => (vec![packet, OK.to_vec()], Some(true)),
            Verdict::Accept => (vec![OK.to_vec()], Some(true)),
            Verdict::Deny => (vec![denied().encode(true)], Some(false)),
            Verdict::Work => {
                verdict = server.work();
                continue;
            }
        };
        let mut answer = None;
        for packet in packets {
            match client.step(&packet).expect("the server keeps to the protocol") {
                AuthAction::Send(payload) => answer = Some(payload),
                AuthAction::Wait => assert_eq!(accepted, Some(true)),
                AuthAction::Done => assert_eq!(accepted, Some(true)),
                AuthAction::Failed(err) => assert_eq!((accepted, err), (Some(false), denied())),
            }
            log.from_server.push(packet);
        }
        if let Some(accepted) = accepted {
            assert_eq!(answer, None);
            return Login { accepted, ..log };
        }
        let answer = answer.expect("the client has an answer");
        verdict = server.step(&answer);
        log.from_client.push(answer);
    }
}

#[test]
fn scrambles_match_known_vectors() {
    let vectors = [
        (
            "secret",
            "8817c50fa779daef010ee7577825b0847df9842e",
            "c76e2898612a4cf042c77fa8c4702c4c64c0c2c557c53c4d75595aaa6abae809",
        ),
        (
            "pässwörd",
            "bbac5880403c8943680f3e56f928c964753198c0",
            "c2f2b3d19aa93ee5d0629e3ec103da650b3d52d906618d526498606d78c7505b",
        ),
    ];
    for (password, sha1, sha256) in vectors {
        assert_eq!(hex(&native::scramble(password.as_bytes(), &SALT)), sha1);
        assert_eq!(hex(&caching_sha2::scramble(password.as_bytes(), &SALT)), sha256);
    }
}

#[test]
fn verify_takes_the_right_scramble_only() {
    let (right, sha) = (native::scramble(b"pw", &SALT), caching_sha2::scramble(b"pw", &SALT));
    assert!(native::verify(b"pw", &SALT, &right));
    assert!(caching_sha2::verify(b"pw", &SALT, &sha));
    for (password, salt, cut) in
        [(&b"pW"[..], SALT, 0), (b"pw", [1; 20], 0), (b"pw", SALT, 1), (b"", SALT, 0)]
    {
        assert!(!native::verify(password, &salt, &right[cut..]));
        assert!(!caching_sha2::verify(password, &salt, &sha[cut..]));
    }
    for empty in [&b""[..], b"\0"] {
        assert!(!native::verify(b"pw", &SALT, empty));
        assert!(!caching_sha2::verify(b"pw", &SALT, empty));
        assert!(caching_sha2::verify(b"", &SALT, empty));
    }
    assert!(native::verify(b"", &SALT, b""));
    // The scramble of an empty password can be made, but it proves nothing.
    assert!(!native::verify(b"", &SALT, &native::scramble(b"", &SALT)));
    assert!(!caching_sha2::verify(b"", &SALT, &caching_sha2::scramble(b"", &SALT)));
}

#[test]
fn rsa_goes_both_ways_and_refuses_the_rest() {
    let text = mask(b"secret", &SALT);
    assert_eq!(text.len(), 7);
    let sealed = rsa::encrypt(KEY.public_pem(), &text).unwrap();
    assert_eq!(sealed.len(), 256);
    assert_eq!(unmask(&KEY.decrypt(&sealed).unwrap(), &SALT), b"secret\0");
    assert!(KEY.public_pem().starts_with(b"-----BEGIN PUBLIC KEY-----\nMII"));
    assert!(KEY.public_pem().ends_with(b"-----END PUBLIC KEY-----\n"));

    assert_eq!(rsa::encrypt(KEY.public_pem(), &[0; 214]).map(|sealed| sealed.len()), Ok(256));
    assert_eq!(rsa::encrypt(KEY.public_pem(), &[0; 215]), Err(RsaError::Encrypt));
    for cut in (0..KEY.public_pem().len() - 26).step_by(7) {
        assert_eq!(rsa::encrypt(&KEY.public_pem()[..cut], b"x"), Err(RsaError::PublicKey));
    }
    let other = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    assert_eq!(rsa::encrypt(other, b"x"), Err(RsaError::PublicKey));
    for garbage in [&sealed[1..], &[0; 256], b""] {
        assert_eq!(KEY.decrypt(garbage), Err(RsaError::Decrypt));
    }
}

#[test]
fn every_pair_of_plugins_gives_the_same_verdicts() {
    let accounts = [
        (Some("secret"), "secret", true),
        (Some("secret"), "Secret", false),
        (Some("secret"), "", false),
        (Some(""), "", true),
        (Some(""), "secret", false),
        (None, "secret", false),
        (None, "", false),
        (None, "\0no such user", false),
        (Some("a password of more than 32 bytes, and of more than 64 bytes as well"), "secret", false),
    ];
    let plugins = [Plugin::Native, Plugin::CachingSha2];
    for (account, password, right) in accounts {
        for (greeting, believes) in plugins.into_iter().flat_map(|a| plugins.map(|b| (a, b))) {
            for (cached, secure) in [(false, false), (false, true), (true, false), (true, true)] {
                for claims in [None, Some(&b"client_ed25519"[..])] {
                    let case = Case { greeting, account, password, cached, secure, claims, believes };
                    let login = login(case);
                    assert_eq!(login.accepted, right, "{greeting:?} {believes:?} {account:?} {password:?}");
                }
            }
        }
    }
}

#[test]
fn the_steps_of_caching_sha2_are_those_of_a_real_server() {
    let fast = login(Case { cached: true, ..CASE });
    assert_eq!(fast.from_server, [&[1, 3][..], OK]);
    assert_eq!(fast.sizes(), [32]);

    let full = login(CASE);
    assert_eq!(full.from_server[0], [1, 4]);
    assert_eq!(full.from_server[1], encode_auth_more_data(KEY.public_pem()));
    assert_eq!(full.from_client[1], [2]);
    assert_eq!(full.sizes(), [32, 1, 256]);

    let secure = login(Case { secure: true, ..CASE });
    assert_eq!(secure.from_server, [&[1, 4][..], OK]);
    assert_eq!(secure.from_client[1], b"secret\0");

    let empty = login(Case { account: Some(""), password: "", ..CASE });
    assert_eq!(empty.from_server, [OK]);
}

#[test]
fn an_unknown_user_sees_what_a_wrong_password_sees() {
    for greeting in [Plugin::Native, Plugin::CachingSha2] {
        for (cached, secure, password) in
            [(false, false, "x"), (true, false, "x"), (false, true, "x"), (true, true, "x"), (true, true, "")]
        {
            let case = Case { greeting, believes: greeting, cached, secure, password, ..CASE };
            let wrong = login(case);
            let unknown = login(Case { account: None, cached: false, ..case });
            assert_eq!(wrong.from_server, unknown.from_server);
            assert_eq!(wrong.sizes(), unknown.sizes());
            assert!(!wrong.accepted);
        }
    }
}

#[test]
fn another_plugin_of_the_client_is_checked_at_once_or_switched() {
    let direct = login(Case { greeting: Plugin::CachingSha2, believes: Plugin::Native, ..CASE });
    assert_eq!((direct.from_server, direct.from_client[0].len()), (vec![OK.to_vec()], 20));
    let direct =
        login(Case { greeting: Plugin::Native, believes: Plugin::CachingSha2, cached: true, ..CASE });
    assert_eq!(direct.from_server, [&[1, 3][..], OK]);
    for (greeting, len) in [(Plugin::Native, 20), (Plugin::CachingSha2, 32)] {
        let switched = login(Case { greeting, claims: Some(b"dialog"), cached: true, ..CASE });
        let request = AuthSwitchRequest { plugin: greeting.name().into(), data: SALT.to_vec() };
        assert_eq!(switched.from_server[0], request.encode());
        assert_eq!(switched.from_client[1].len(), len);
    }
}

#[test]
fn a_client_that_names_no_plugin_is_checked_by_the_native_one() {
    let credential = Credential::password(b"pw");
    let mut server = ServerAuth::new(Plugin::CachingSha2, &SALT, Some(&credential), &KEY, true, false);
    assert_eq!(server.begin(None, &native::scramble(b"pw", &SALT)), Verdict::Accept);
    assert_eq!(server.begin(None, &native::scramble(b"px", &SALT)), Verdict::Deny);
    assert_eq!(server.begin(None, b""), Verdict::Deny);
    assert_eq!(format!("{credential:?}"), "Password(..)");
}

/// What a real server stored for the password `secret` is proved by each way in, and gives the link what it needs.
#[test]
fn an_account_of_which_only_a_hash_is_known() {
    let native = Credential::parse_hash("*14E65567ABDB5135D0CFD9A70B3032C179A49EE7").expect("a hash");
    let response = native::scramble(b"secret", &SALT);
    let mut server = ServerAuth::new(Plugin::Native, &SALT, Some(&native), &KEY, false, false);
    assert_eq!(server.begin(Some(b"mysql_native_password"), &response), Verdict::Accept);
    let (_, Some(secret)) = server.outcome() else { panic!("no secret") };
    let (plugin, again) = ClientAuth::new(&secret, false).first_response(b"caching_sha2_password", &SALT);
    assert_eq!((plugin, again), (Plugin::Native, response.to_vec()));
    assert_eq!(native.verify(&Evidence::NativeScramble(native::scramble(b"Secret", &SALT)), &SALT), None);
    assert_eq!(native.verify(&Evidence::Empty, &SALT), None);
    let sent = Evidence::Password(b"secret".to_vec().into());
    assert_eq!(native.verify(&sent, &SALT), Some(secret));

    let proof = caching_sha2::scramble(b"secret", &SALT);
    for offered in [Plugin::Native, Plugin::CachingSha2] {
        for digest in [None, Secret::password(b"secret").digest(), Secret::password(b"other").digest()] {
            let ed25519 = Credential::stored(b"ed25519", b"vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI");
            let ed25519 = ed25519.expect("a key");
            let mut server = ServerAuth::new(offered, &SALT, Some(&ed25519), &KEY, false, true);
            server = server.knowing(digest.clone());
            let fast = digest == Secret::password(b"secret").digest();
            let expected = match fast {
                true => Verdict::SendThenAccept(vec![1, 3]),
                false => Verdict::Send(vec![1, 4]),
            };
            assert_eq!(server.begin(Some(b"caching_sha2_password"), &proof), expected);
            if !fast {
                assert_eq!(server.step(b"foo\0"), Verdict::Accept, "the account's password is foo");
                assert_eq!(server.outcome().1, Some(Secret::password(b"foo")));
            }
        }
    }
}

#[test]
fn ed25519_signs_the_nonce_of_the_server() {
    let mut client = ClientAuth::new(&PW, false);
    client.first_response(b"mysql_native_password", &SALT);
    let switch = |data: Vec<u8>| AuthSwitchRequest { plugin: b"client_ed25519".to_vec(), data }.encode();
    let signature = ed25519::sign(b"pw", &[7; 32]).to_vec();
    assert_eq!(client.step(&switch(vec![7; 32])), Ok(AuthAction::Send(signature)));
    // Its last byte may look like the end of a string.
    let mut nonce = [7; 32];
    nonce[31] = 0;
    let signature = ed25519::sign(b"pw", &nonce).to_vec();
    assert_eq!(client.step(&switch(vec![7; 31])), Ok(AuthAction::Send(signature)));
    assert_eq!(client.step(&switch(vec![7; 20])), Err(AuthError::SaltLength(20)));
    let hash = Secret::NativeHash([1; 20].into());
    let mut client = ClientAuth::new(&hash, true);
    client.first_response(b"mysql_native_password", &SALT);
    assert_eq!(client.step(&switch(vec![7; 32])), Err(AuthError::OnlyHash("client_ed25519")));
}

#[test]
fn a_server_may_switch_a_few_times_but_not_for_ever() {
    let mut client = ClientAuth::new(&PW, false);
    client.first_response(b"", &SALT);
    for plugin in [Plugin::CachingSha2, Plugin::Native, Plugin::CachingSha2, Plugin::Native] {
        let request = AuthSwitchRequest { plugin: plugin.name().into(), data: vec![7; 20] };
        let expected = match plugin {
            Plugin::Native => native::scramble(b"pw", &[7; 20]).to_vec(),
            _ => caching_sha2::scramble(b"pw", &[7; 20]).to_vec(),
        };
        assert_eq!(client.step(&request.encode()), Ok(AuthAction::Send(expected)));
    }
    let request = AuthSwitchRequest { plugin: b"mysql_native_password".to_vec(), data: vec![7; 20] };
    assert_eq!(client.step(&request.encode()), Err(AuthError::TooManySwitches));
}

#[test]
fn a_switch_that_can_not_be_followed_says_why() {
    let switch = |secure, plugin: &str, data: &[u8]| {
        let mut client = ClientAuth::new(&PW, secure);
        client.first_response(b"mysql_native_password", &SALT);
        client.step(&AuthSwitchRequest { plugin: plugin.into(), data: data.to_vec() }.encode())
    };
    let error = switch(false, "auth_gssapi_client", b"").unwrap_err();
    assert_eq!(error, AuthError::UnknownPlugin("auth_gssapi_client".into()));
    assert!(error.to_string().contains("'auth_gssapi_client', which is not supported"));
    assert_eq!(switch(false, "mysql_clear_password", b""), Err(AuthError::ClearTextRefused));
    assert_eq!(switch(true, "mysql_clear_password", b""), Ok(AuthAction::Send(b"pw\0".to_vec())));
    assert_eq!(switch(true, "mysql_native_password", b"short"), Err(AuthError::SaltLength(5)));
    let mut client = ClientAuth::new(&PW, false);
    assert_eq!(client.step(&[0xFE]), Err(AuthError::Handshake(HandshakeError::Pre41)));
}

#[test]
fn the_first_response_never_gives_the_password_away() {
    for offered in [&b"mysql_clear_password"[..], b"auth_gssapi_client"] {
        let (plugin, response) = ClientAuth::new(&PW, false).first_response(offered, &SALT);
        assert_eq!((plugin, &response[..]), (Plugin::CachingSha2, &caching_sha2::scramble(b"pw", &SALT)[..]));
    }
    let (plugin, response) = ClientAuth::new(&PW, true).first_response(b"mysql_clear_password", &SALT);
    assert_eq!((plugin, &response[..]), (Plugin::ClearText, &b"pw\0"[..]));
}

#[test]
fn sha256_password_is_full_authentication_from_the_start() {
    let mut client = ClientAuth::new(&PW, false);
    assert_eq!(client.first_response(b"sha256_password", &SALT), (Plugin::Sha256, vec![1]));
    let Ok(AuthAction::Send(sealed)) = client.step(&encode_auth_more_data(KEY.public_pem())) else {
        panic!("the client encrypts")
    };
    assert_eq!(unmask(&KEY.decrypt(&sealed).unwrap(), &SALT), b"pw\0");
    assert_eq!(client.step(OK), Ok(AuthAction::Done));
    let (_, clear) = ClientAuth::new(&PW, true).first_response(b"sha256_password", &SALT);
    assert_eq!(clear, b"pw\0");
}

#[test]
fn more_data_out_of_place_is_refused() {
    let mut client = ClientAuth::new(&PW, false);
    assert_eq!(client.step(&[1, 4]), Err(AuthError::Unexpected(AUTH_MORE_DATA)));
    client.first_response(b"mysql_native_password", &SALT);
    assert_eq!(client.step(&[1, 4]), Err(AuthError::Unexpected(AUTH_MORE_DATA)));
    client.first_response(b"caching_sha2_password", &SALT);
    assert_eq!(client.step(&[1, 3]), Ok(AuthAction::Wait));
    assert_eq!(client.step(&[1, 4]), Err(AuthError::Unexpected(AUTH_MORE_DATA)));
    assert_eq!(client.step(&[7]), Err(AuthError::Unexpected(7)));
    client.first_response(b"caching_sha2_password", &SALT);
    assert_eq!(client.step(&[1, 4]), Ok(AuthAction::Send(vec![2])));
    assert_eq!(client.step(b"\x01no key"), Err(AuthError::Rsa(RsaError::PublicKey)));
}

/// A generator of bytes that is the same in every run.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0.to_be_bytes()[0]
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..usize::from(self.next()) % max).map(|_| self.next()).collect()
    }
}

#[test]
fn garbage_never_panics_and_never_gets_in() {
    let credential = Credential::password(b"secret");
    let secret = Secret::password(b"secret");
    let mut random = Lcg(7);
    for round in 0..3000 {
        let account = (round % 3 > 0).then_some(&credential);
        let offered = if round % 2 == 0 { Plugin::Native } else { Plugin::CachingSha2 };
        let mut server = ServerAuth::new(offered, &SALT, account, &KEY, round % 5 == 0, round % 7 == 0);
        let claims = [&b"caching_sha2_password"[..], b"mysql_native_password", b"", b"x"][round % 4];
        let first = if round % 3 == 0 { vec![random.next(); 32] } else { random.bytes(70) };
        let mut verdict = server.begin(Some(claims), &first);
        let mut steps = 0;
        while let Verdict::Send(_) = verdict {
            let packet = match random.next() % 4 {
                0 => vec![2],
                1 => vec![random.next(); 32],
                _ => random.bytes(40),
            };
            verdict = server.step(&packet);
            steps += 1;
        }
        assert_eq!(verdict, Verdict::Deny);
        assert!(steps <= 4);
        assert_eq!(server.step(b"secret\0"), Verdict::Deny);

        let mut client = ClientAuth::new(&secret, round % 2 == 0);
        client.first_response(claims, &SALT);
        for _ in 0..6 {
            let mut packet = vec![[0x01, 0xFE, 0xFF, random.next()][usize::from(random.next() % 4)]];
            packet.extend(random.bytes(30));
            let _ = client.step(&packet);
        }
    }
}

/// What hashing costs grows with the password, and anybody may send one.
#[test]
fn a_password_longer_than_servers_take_is_not_hashed() {
    let text = [&b"$A$005$"[..], &[b's'; 20], &[b'.'; 43]].concat();
    let credential = Credential::stored(b"caching_sha2_password", &text).expect("it is one of a server");
    for (len, expected) in [(256, Verdict::Work), (257, Verdict::Deny)] {
        let mut server = ServerAuth::new(Plugin::CachingSha2, &SALT, Some(&credential), &KEY, true, true);
        assert!(matches!(server.begin(Some(b"caching_sha2_password"), &[7; 32]), Verdict::Send(_)));
        let password = [&vec![b'p'; len][..], &[0]].concat();
        assert_eq!(server.step(&password), expected, "{len}");
    }
}
