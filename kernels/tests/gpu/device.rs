//! Choosing a device, sharing it and losing it.

use invispose_kernels::{
    Layout,
    cleanup::{Cleanup, CleanupError, Doppler, Iq},
    cpu::CpuCleanup,
    gpu::{AdapterChoice, GpuCleanup, GpuContext, GpuError, GpuOptions, adapters},
};

use super::{context, data};

#[test]
fn software_is_taken_only_if_asked_for() {
    let hardware = adapters().iter().filter(|a| !a.is_software()).count();
    match GpuContext::new(AdapterChoice::default()) {
        Ok(context) => assert!(!context.adapter().is_software()),
        Err(error) => {
            assert_eq!(hardware, 0, "{error}");
            assert!(matches!(error, GpuError::NoAdapter { .. }), "{error}");
        }
    }
    let beyond = AdapterChoice { index: Some(adapters().len()), software: true };
    let refused = GpuContext::new(beyond).unwrap_err();
    assert!(matches!(&refused, GpuError::NoAdapter { wanted, .. } if wanted.contains("number")), "{refused}");
}

#[test]
fn a_device_can_be_shared() {
    let Some(owner) = context() else { return };
    let shared = GpuContext::from_device(owner.device().clone(), owner.queue().clone());
    assert_eq!(shared.adapter(), owner.adapter());
    let spec = data::spec(Layout::new(1, 2, 64), 1, 2);
    let x = data::bytes(&data::room(1, 2, 2, &spec.index));
    let mut plan = GpuCleanup::new(&shared, spec, GpuOptions::default()).unwrap();
    plan.run(Iq::I8(&x)).unwrap();
    assert_eq!(plan.read().unwrap().windows, 2);
}

#[test]
fn a_lost_device_is_an_error_and_the_cpu_goes_on() {
    for (own, readback) in [(true, true), (true, false), (false, true), (false, false)] {
        let Some(owner) = context() else { return };
        let context = if own {
            owner.clone()
        } else {
            GpuContext::from_device(owner.device().clone(), owner.queue().clone())
        };
        let spec = data::spec(Layout::new(1, 2, 64), 4, 2);
        let x = data::bytes(&data::room(1, 8, 2, &spec.index));
        let options = GpuOptions { readback, ..GpuOptions::default() };
        let mut plan = GpuCleanup::new(&context, spec.clone(), options).unwrap();
        plan.run(Iq::I8(&x)).unwrap();
        owner.device().destroy();
        let mut failed = None;
        // As long as the ring of uploads: by then the loss has shown.
        for _ in 0..4 {
            failed = plan.run(Iq::I8(&x)).and_then(|()| plan.read().map(|_| ())).err();
        }
        assert!(matches!(failed, Some(CleanupError::Device(_))), "{failed:?}");
        assert!(matches!(context.check(), Err(GpuError::Lost(_))));
        assert!(matches!(plan.wait(), Err(GpuError::Lost(_))));
        let another = GpuCleanup::new(&context, spec.clone(), options).err();
        assert!(matches!(another, Some(CleanupError::Device(_))));
        let mut cpu = CpuCleanup::new(spec, 1).unwrap();
        cpu.run(Iq::I8(&x)).unwrap();
        assert_eq!(cpu.read().unwrap().windows, 2);
    }
}

#[test]
fn what_is_too_large_is_refused_and_the_device_lives() {
    let Some(context) = context() else { return };
    let options = GpuOptions::default();
    let limits = context.device().limits();
    let many = limits.max_compute_workgroups_per_dimension as usize + 1;
    let refused = [
        data::spec(Layout::new(1, 1, 30), 1, many),
        data::spec(Layout::new(1, 1, 30), 60_000, 60_000),
        data::spec(Layout::new(1, 1, 30_000), 1, 1),
        {
            let mut spec = data::spec(Layout::new(1, 1, 30), 1, 1);
            spec.delay = Some(1 << 14);
            spec
        },
        {
            let mut spec = data::spec(Layout::new(1, 1, 30), 1 << 14, 1);
            spec.doppler = Some(Doppler { len: 1 << 14, hop: 1 });
            spec
        },
    ];
    for spec in refused {
        assert!(matches!(GpuCleanup::new(&context, spec, options), Err(CleanupError::Device(_))));
    }
    let spec = data::spec(Layout::new(1, 1, 30), 1, 1);
    let x = data::bytes(&data::room(1, 1, 1, &spec.index));
    let mut plan = GpuCleanup::new(&context, spec, options).unwrap();
    assert!(matches!(plan.run(Iq::I8(&x[1..])), Err(CleanupError::Input { .. })));
    plan.run(Iq::I8(&x)).unwrap();
    assert_eq!(plan.read().unwrap().windows, 1);
}
