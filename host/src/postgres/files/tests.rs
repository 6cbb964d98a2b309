//! Which files a configuration gives, where, and what is left to others.

use super::*;
use std::fs;

/// A server whose data directory is as initdb leaves it.
fn fresh(folder: &Path, change: impl FnOnce(&mut ServerSettings)) -> Server {
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
        fs::write(data.join(name), format!("# {name} of initdb\n")).unwrap();
    }
    Server::for_tests(|settings| {
        (settings.data_dir, settings.config_dir) = (data.clone(), data);
        settings.parameters = BTreeMap::from([("app.flavour".to_owned(), "sweet".to_owned())]);
        settings.pg_hba = Some(vec!["local all all peer".to_owned()]);
        change(settings);
    })
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_configuration_file_of_the_operators_is_included_and_left_alone() {
    // CFG-08
    let folder = tempfile::tempdir().unwrap();
    let custom = folder.path().join("mine.conf");
    fs::write(&custom, "work_mem = '9MB'\n").unwrap();
    let server = fresh(folder.path(), |settings| settings.custom_conf = Some(custom.clone()));
    server.configure(&Wanted::primary()).await.unwrap();
    server.save_configuration().await.unwrap();
    let main = fs::read_to_string(folder.path().join("data/postgresql.conf")).unwrap();
    assert!(main.contains(&format!("include '{}'\n", custom.display())), "{main}");
    assert!(main.contains("app.flavour = 'sweet'\n"), "{main}");
    assert_eq!(fs::read_to_string(&custom).unwrap(), "work_mem = '9MB'\n");
    assert!(!names(&folder.path().join("data")).iter().any(|name| name.contains("base")), "nothing stands beside it");
}

#[tokio::test]
async fn generated_files_go_into_the_folder_and_under_the_name_that_are_configured() {
    // CFG-10, CFG-12
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc/cluster");
    let server = fresh(folder.path(), |settings| {
        settings.config_dir = etc.clone();
        settings.config_base_name = "pipelinedb".to_owned();
    });
    server.configure(&Wanted::primary()).await.unwrap();
    assert_eq!(names(&etc), ["pg_hba.conf", "pg_ident.conf", "pipelinedb.base.conf", "pipelinedb.conf"]);
    let main = fs::read_to_string(etc.join("pipelinedb.conf")).unwrap();
    for line in ["include 'pipelinedb.base.conf'", &format!("hba_file = '{}'", etc.join("pg_hba.conf").display())] {
        assert!(main.contains(line), "{line} is missing in {main}");
    }
    assert_eq!(main_file(&server.settings), etc.join("pipelinedb.conf"), "what the server is started with");
    let data = folder.path().join("data");
    assert_eq!(fs::read_to_string(data.join("pg_hba.conf")).unwrap(), "# pg_hba.conf of initdb\n", "left as it was");
}

/// PG-01, PG-02: recovery's file and the names of settings are those of the server's version.
#[test]
fn each_version_gets_the_files_that_it_reads() {
    let written = |version: u32| {
        let folder = tempfile::tempdir().unwrap();
        let mut server = fresh(folder.path(), |_| {});
        server.binaries = crate::postgres::Binaries::for_tests(version);
        let follow = FollowTarget::Source(crate::postgres::testing::source());
        let recovery = Recovery::Standby { follow, overrides: BTreeMap::new() };
        let wanted = Wanted { role: Role::Replica, recovery, ..Wanted::primary() };
        let (plan, mut written) = server.plan(&wanted, None, &[]);
        plan.write(&server.settings, version, &mut written).unwrap();
        let data = folder.path().join("data");
        let read = |name: &str| fs::read_to_string(data.join(name)).ok();
        let main = read("postgresql.conf").unwrap();
        let names: Vec<&str> = main.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
        let has = |name: &str| names.contains(&name);
        let kept = (has("wal_keep_segments"), has("wal_keep_size"));
        (read("recovery.conf"), read("standby.signal").is_some(), has("primary_conninfo"), kept)
    };
    for version in [100_023, 110_022] {
        let (recovery, signal, among_parameters, kept) = written(version);
        let recovery = recovery.unwrap();
        for line in ["standby_mode = 'on'", "recovery_target_timeline = 'latest'", "primary_slot_name = 'node1'"] {
            assert!(recovery.lines().any(|found| found == line), "{line} is missing in {recovery}");
        }
        assert!(recovery.contains("primary_conninfo = '") && recovery.contains("10.0.0.2"), "{recovery}");
        assert_eq!((signal, among_parameters, kept), (false, false, (true, false)), "{version}");
    }
    assert_eq!(written(120_022), (None, true, true, (true, false)));
    for version in [130_023, 150_018, 180_000] {
        assert_eq!(written(version), (None, true, true, (false, true)), "{version}");
    }
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_to_is_an_error() {
    // CFG-10
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let server = fresh(folder.path(), |settings| settings.config_dir = folder.path().join("file/etc"));
    let refused = server.configure(&Wanted::primary()).await.unwrap_err().to_string();
    assert!(refused.contains("file/etc"), "{refused}");
}
