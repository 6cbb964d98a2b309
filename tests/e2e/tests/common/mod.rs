//! What several files of tests share: running a test on each store.

/// Each of these on each store.
macro_rules! on_each_store {
    ($($test:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                super::$test(regent_harness::Dcs::Local).await
            })+
        }
        mod etcd3 {
            $(#[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                super::$test(regent_harness::Dcs::Etcd3).await
            })+
        }
    };
}
