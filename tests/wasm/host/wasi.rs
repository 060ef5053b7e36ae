//! The part of `wasi_snapshot_preview1` that std needs in a filter. The rest traps.

use super::hostcalls::{Guest, Refusal, hostcall};
use super::state::{LogLine, State, Status};
use wasmtime::{Caller, Linker, Result};

const WASI: &str = "wasi_snapshot_preview1";
/// WASI `errno` 8: not an open file.
const BADF: Status = Status(8);

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(WASI, "random_get", |caller: Caller<'_, State>, at: u32, length: u32| {
        hostcall(caller, "random_get", |guest| {
            let bytes = guest.state().random_bytes(length as usize);
            guest.write(at, &bytes)
        })
    })?;
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |caller: Caller<'_, State>, _clock: u32, _precision: u64, at: u32| {
            hostcall(caller, "clock_time_get", |guest| {
                let now = guest.state().nanoseconds();
                guest.write(at, &now.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        WASI,
        "environ_sizes_get",
        |caller: Caller<'_, State>, count: u32, size: u32| {
            hostcall(caller, "environ_sizes_get", |guest| {
                let variables = variables(guest.state());
                let bytes = variables.iter().map(Vec::len).sum::<usize>();
                guest.write_word(count, u32::try_from(variables.len()).unwrap())?;
                guest.write_word(size, u32::try_from(bytes).unwrap())
            })
        },
    )?;
    linker.func_wrap(WASI, "environ_get", |caller: Caller<'_, State>, list: u32, at: u32| {
        hostcall(caller, "environ_get", |guest| {
            let (mut list, mut at) = (list, at);
            for variable in variables(guest.state()) {
                guest.write_word(list, at)?;
                guest.write(at, &variable)?;
                list += 4;
                at += u32::try_from(variable.len()).unwrap();
            }
            Ok(())
        })
    })?;
    linker.func_wrap(
        WASI,
        "fd_write",
        |caller: Caller<'_, State>, file: u32, pieces: u32, count: u32, written: u32| {
            hostcall(caller, "fd_write", |guest| fd_write(guest, file, pieces, count, written))
        },
    )?;
    linker.func_wrap(WASI, "proc_exit", |code: u32| -> Result<()> {
        Err(wasmtime::Error::msg(format!("the module called proc_exit({code})")))
    })?;
    Ok(())
}

/// `name=value`, each with a NUL.
fn variables(state: &State) -> Vec<Vec<u8>> {
    let line = |(name, value): (&String, &String)| format!("{name}={value}\0").into_bytes();
    state.environment.iter().map(line).collect()
}

/// Standard output goes to the log as info, standard error as error, as in Envoy.
fn fd_write(
    guest: &mut Guest<'_>,
    file: u32,
    pieces: u32,
    count: u32,
    written: u32,
) -> Result<(), Refusal> {
    let level = match file {
        1 => 2,
        2 => 4,
        _ => return Err(BADF.into()),
    };
    let mut text = Vec::new();
    for piece in guest.read(pieces, count.saturating_mul(8))?.chunks_exact(8) {
        let (at, length) = piece.split_at(4);
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        text.extend(guest.read(word(at), word(length))?);
    }
    let message = String::from_utf8_lossy(&text).into_owned();
    guest.state().log.push(LogLine { level, message });
    guest.write_word(written, u32::try_from(text.len()).unwrap())
}
