//! The components that the tests run, built where they are older than their source, and a method that runs one of them.

use crate::scenario::{Node, World};
use regent::methods::{Progress, create_replica, use_program};
use regent_core::model::{GrantedDirectory, MethodSettings, SandboxSettings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

const GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasm-methods");

/// Where components are built.
pub const RELEASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasm-methods/target/wasm32-wasip2/release");

/// A component's file; `None`, with a word, where components cannot be built.
pub fn guest(name: &str) -> Option<PathBuf> {
    // Nothing to do where they are new enough: then this takes a moment.
    static BUILT: LazyLock<bool> = LazyLock::new(|| {
        // This is the test again, as another user: whoever began it has built them.
        if std::env::var_os("REGENT_TEST_AGAIN").is_some() {
            return true;
        }
        let built = Command::new("cargo")
            .args(["build", "--locked", "--release", "--target", "wasm32-wasip2", "--target-dir", "target"])
            .current_dir(GUESTS)
            .output()
            .unwrap();
        if !built.status.success() {
            eprintln!("SKIPPED: components cannot be built; `rustup target add wasm32-wasip2` may help");
            eprintln!("{}", String::from_utf8_lossy(&built.stderr));
        }
        built.status.success()
    });
    BUILT.then(|| Path::new(RELEASE).join(format!("{name}.wasm")))
}

/// The component that is written in C; `None`, with a word, where it cannot be built.
pub fn in_c() -> Option<PathBuf> {
    let file = Path::new(RELEASE).join("directory-copy.wasm");
    let built = Command::new(Path::new(GUESTS).join("directory-copy/build.sh")).arg(&file).output().unwrap();
    if !built.status.success() {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&built.stderr));
    }
    built.status.success().then_some(file)
}

/// What a component gets where nothing more is granted.
pub fn settings_of(component: PathBuf) -> SandboxSettings {
    SandboxSettings {
        component,
        sha256: None,
        directories: Vec::new(),
        hosts: Vec::new(),
        certificates: None,
        environment: BTreeMap::new(),
        memory_bytes_max: 256 << 20,
        // Only what must end by itself gets shorter: a machine may be slow.
        timeout: Some(Duration::from_secs(110)),
        with_password: false,
    }
}

/// A method with its grants, and a place to run it.
pub struct Trial {
    world: World,
    node: Node,
    pub sandbox: SandboxSettings,
    pub no_params: bool,
    pub parameters: Vec<(String, String)>,
}

impl Trial {
    pub async fn of(name: &str) -> Option<Trial> {
        use_program(env!("CARGO_BIN_EXE_regent").into());
        let component = guest(name)?;
        let world = World::new();
        let node = world.node("replica").await;
        let sandbox = settings_of(component);
        Some(Trial { world, node, sandbox, no_params: false, parameters: Vec::new() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.node.server.settings.data_dir.clone()
    }

    pub fn grant(&mut self, name: &str, seen_as: &str, writable: bool) {
        let path = self.path(name);
        self.sandbox.directories.push(GrantedDirectory { path, seen_as: seen_as.into(), writable, link: None });
    }

    pub async fn run_and_hear(
        &self,
        deed: &str,
        target: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<String, String> {
        let server = self.node.changed(|settings| {
            let method = MethodSettings {
                name: "m".into(),
                no_leader: true,
                no_params: self.no_params,
                arguments: [("deed", deed), ("target", target)]
                    .map(|(key, value)| (key.into(), value.into()))
                    .into_iter()
                    .chain(self.parameters.clone())
                    .collect(),
                sandbox: Some(self.sandbox.clone()),
                ..MethodSettings::default()
            };
            settings.methods.insert("m".into(), method);
        });
        create_replica(&server, None, &["m".to_owned()], progress).await.map_err(|error| error.to_string())
    }

    pub async fn run(&self, deed: &str, target: &str) -> Result<String, String> {
        self.run_and_hear(deed, target, &|_| {}).await
    }

    /// It fails for this reason, and nothing of it is left.
    pub async fn fails_with(&self, deed: &str, target: &str, reason: &str) {
        let error = self.run(deed, target).await.expect_err(deed);
        assert!(error.contains(reason), "{deed} {target}: {error}");
        let left = std::fs::read_dir(self.data_dir()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{deed} {target} left something behind");
    }
}

/// A component that is small to read and takes minutes to compile: functions of millions of instructions.
pub fn bomb() -> Vec<u8> {
    let number = |mut value: usize| {
        let mut bytes = Vec::new();
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    };
    let section = |id: u8, content: &[u8]| [&[id], &number(content.len())[..], content].concat();
    // local.get 0, local.get 0, i32.mul, local.set 0: over and over, in functions as large as they may be.
    let mut body = vec![0];
    body.extend([0x20, 0, 0x20, 0, 0x6c, 0x21, 0].repeat(1_000_000));
    body.push(0x0b);
    let functions = 8;
    let code = [number(body.len()), body].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 1, 0x7f, 0]),
        section(3, &[&number(functions)[..], &vec![0; functions]].concat()),
        section(10, &[number(functions), code.repeat(functions)].concat()),
    ]
    .concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}
