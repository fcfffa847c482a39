use super::*;

#[test]
fn every_table_has_room_for_what_it_was_chosen_for_and_an_empty_slot_besides() {
    for items in 0..5000 {
        let buckets = buckets_for(items).unwrap();
        assert!(room(buckets) >= items && room(buckets) < buckets, "{items} in {buckets}");
        assert!(buckets.is_power_of_two());
    }
    assert_eq!(buckets_for(usize::MAX), None);
}

#[test]
fn repeated_control_bytes_follow_their_slots_in_tables_of_any_size() {
    for buckets in [4, 8, 16, 32, 64] {
        let mut block = vec![0u64; bytes::<u64, u64>(buckets) / 8 + 2];
        let table = Table::<u64, u64>::at(block.as_mut_ptr().cast(), buckets - 1);
        table.wipe();
        for i in 0..buckets {
            table.set_control(i, i as u8);
        }
        for i in 0..WIDTH {
            // SAFETY: within the control bytes.
            let (a, b) =
                unsafe { (*table.controls_start().add(i), *table.controls_start().add(buckets + i)) };
            assert_eq!(a, b, "{buckets} slots, byte {i}");
            assert_eq!(a, (i % buckets) as u8);
        }
    }
}

#[test]
fn a_slot_that_is_alone_becomes_empty() {
    let buckets = 64;
    let mut block = vec![0u64; bytes::<u64, u64>(buckets) / 8 + 2];
    let table = Table::<u64, u64>::at(block.as_mut_ptr().cast(), buckets - 1);
    let (mut random, mut alone, mut crowded) = (1u64, 0, 0);
    for round in 0..2000 {
        for i in 0..buckets {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let byte = match (random >> 40 & 15 < round & 7, random >> 60 & 1) {
                (false, _) => i as u8,
                (true, 0) => DELETED,
                (true, _) => EMPTY,
            };
            table.set_control(i, byte);
        }
        for i in (0..buckets).filter(|i| table.control(*i) < DELETED) {
            if !table.is_alone(i) {
                crowded += 1;
                continue;
            }
            alone += 1;
            assert_eq!(table.vacated(i), EMPTY, "slot {i}");
        }
    }
    assert!(alone > 1000 && crowded > 1000, "{alone} alone, {crowded} not");
}

#[test]
fn a_probe_sees_every_slot() {
    for buckets in [4usize, 8, 16, 64, 512] {
        for hash in 0..buckets {
            let mut seen = vec![false; buckets];
            let mut p = Probe { at: hash, stride: 0, mask: buckets - 1 };
            loop {
                (0..WIDTH).for_each(|i| seen[(p.at + i) % buckets] = true);
                if p.step().is_none() {
                    break;
                }
            }
            assert!(seen.iter().all(|s| *s), "{buckets} slots from {hash}");
        }
    }
}
