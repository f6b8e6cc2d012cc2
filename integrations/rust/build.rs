//! Compiles tin.c and tin_host.c from csrc/ with the C compiler in CC (default: cc), or links the libtinhost in the folder
//! that TINHOST_LIB names.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: [&str; 2] = ["tin.c", "tin_host.c"];

fn main() {
    for name in ["TINHOST_LIB", "CC", "AR", "CFLAGS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if let Some(folder) = env::var_os("TINHOST_LIB") {
        println!("cargo:rustc-link-search=native={}", Path::new(&folder).display());
        println!("cargo:rustc-link-lib=dylib=tinhost");
        return;
    }
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("csrc");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    println!("cargo:rerun-if-changed={}", folder.display());
    let objects: Vec<PathBuf> = SOURCES.iter().map(|name| compile(&folder, name, &out)).collect();
    let library = out.join("libtinhost.a");
    let mut pack = Command::new(tool("AR", "ar"));
    run(pack.arg("rcs").arg(&library).args(&objects));
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=tinhost");
}

fn compile(folder: &Path, name: &str, out: &Path) -> PathBuf {
    let source = folder.join(name);
    if !source.is_file() {
        fail(&format!(
            "{} is not there: write it with `scripts/amalgamate.py --host {}` of tinsmith, or set TINHOST_LIB to the folder of a libtinhost",
            source.display(),
            folder.display()
        ));
    }
    let object = out.join(name).with_extension("o");
    let mut cc = Command::new(tool("CC", "cc"));
    // Floats are not contracted: the bits are the same on every machine.
    cc.args(["-std=c11", "-O2", "-fPIC", "-pthread", "-ffp-contract=off", "-fvisibility=hidden"]);
    cc.args(env::var("CFLAGS").unwrap_or_default().split_whitespace());
    run(cc.arg("-I").arg(folder).arg("-c").arg(&source).arg("-o").arg(&object));
    object
}

/// A tool by its variable, for the target where there is one of that name: CC_aarch64_unknown_linux_gnu, then CC.
fn tool(variable: &str, usual: &str) -> String {
    let target = env::var("TARGET").unwrap().replace('-', "_");
    env::var(format!("{variable}_{target}")).or_else(|_| env::var(variable)).unwrap_or_else(|_| usual.into())
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("{command:?} ended with {status}")),
        Err(error) => fail(&format!("{command:?} does not run: {error}; set CC and AR to a C compiler and its ar")),
    }
}

fn fail(line: &str) -> ! {
    eprintln!("tinsmith: {line}");
    std::process::exit(1)
}
