//! The proxy-wasm 0.2.1 imports (module `env`), answered as Envoy 1.40 answers them.
//!
//! Every call is recorded, and any call can be made to fail before it does anything.

use super::native;
use super::state::{Call, Callout, Deferred, Direction, LogLine, State, Status};
use super::wire::Headers;
use std::time::Duration;
use wasmtime::{Caller, Extern, Linker, Memory, Result};

const ENV: &str = "env";

/// Why a hostcall does not return `Ok`.
pub(super) enum Refusal {
    Status(Status),
    Trap(wasmtime::Error),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

type Outcome = std::result::Result<(), Refusal>;

/// The calling module's memory, and the host's state.
pub(super) struct Guest<'a> {
    caller: Caller<'a, State>,
    arguments: String,
}

impl Guest<'_> {
    pub(super) fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    pub(super) fn read(&mut self, at: u32, length: u32) -> std::result::Result<Vec<u8>, Refusal> {
        let memory = self.memory();
        let end = (at as usize).checked_add(length as usize);
        let bytes = end.and_then(|end| memory.data(&self.caller).get(at as usize..end));
        bytes.map(<[u8]>::to_vec).ok_or(Status::INVALID_MEMORY_ACCESS.into())
    }

    pub(super) fn write(&mut self, at: u32, bytes: &[u8]) -> Outcome {
        let memory = self.memory();
        let written = memory.write(&mut self.caller, at as usize, bytes);
        written.map_err(|_| Status::INVALID_MEMORY_ACCESS.into())
    }

    pub(super) fn write_word(&mut self, at: u32, word: u32) -> Outcome {
        self.write(at, &word.to_le_bytes())
    }

    fn text(&mut self, at: u32, length: u32) -> std::result::Result<String, Refusal> {
        let bytes = self.read(at, length)?;
        String::from_utf8(bytes).map_err(|_| Status::BAD_ARGUMENT.into())
    }

    fn headers(&mut self, at: u32, length: u32) -> std::result::Result<Headers, Refusal> {
        let bytes = self.read(at, length)?;
        Headers::decode(&bytes).ok_or(Status::BAD_ARGUMENT.into())
    }

    /// Returns bytes in memory that the module allocates; null when there are none.
    fn give(&mut self, bytes: &[u8], at_pointer: u32, at_length: u32) -> Outcome {
        let length = u32::try_from(bytes.len()).unwrap();
        let mut pointer = 0;
        if length > 0 {
            let export = self.caller.get_export("proxy_on_memory_allocate");
            let allocate = export.and_then(Extern::into_func).expect("proxy_on_memory_allocate");
            let allocate = allocate.typed::<u32, u32>(&self.caller).unwrap();
            pointer = allocate.call(&mut self.caller, length).map_err(Refusal::Trap)?;
            self.write(pointer, bytes)?;
        }
        self.write_word(at_pointer, pointer)?;
        self.write_word(at_length, length)
    }

    fn note(&mut self, arguments: impl Into<String>) {
        self.arguments = arguments.into();
    }

    fn memory(&mut self) -> Memory {
        let export = self.caller.get_export("memory");
        export.and_then(Extern::into_memory).expect("the module exports its memory")
    }
}

/// Runs one hostcall: fault, body, record.
pub(super) fn hostcall(
    mut caller: Caller<'_, State>,
    name: &'static str,
    body: impl FnOnce(&mut Guest<'_>) -> Outcome,
) -> Result<u32> {
    let context = caller.data().effective;
    let fault = caller.data_mut().fault(name);
    let mut guest = Guest { caller, arguments: String::new() };
    let outcome = fault.map_or_else(|| body(&mut guest), |status| Err(status.into()));
    let (status, result) = match outcome {
        Ok(()) => (Status::OK, Ok(Status::OK.0)),
        Err(Refusal::Status(status)) => (status, Ok(status.0)),
        Err(Refusal::Trap(trap)) => (Status::INTERNAL_FAILURE, Err(trap)),
    };
    let arguments = std::mem::take(&mut guest.arguments);
    guest.state().calls.push(Call { name, context, arguments, status });
    result
}

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    link_process(linker)?;
    link_headers(linker)?;
    link_buffers(linker)?;
    link_streams(linker)?;
    link_storage(linker)?;
    link_metrics(linker)
}

fn link_process(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_log",
        |caller: Caller<'_, State>, level: u32, at: u32, length: u32| {
            hostcall(caller, "proxy_log", |guest| {
                let message = String::from_utf8_lossy(&guest.read(at, length)?).into_owned();
                guest.note(message.clone());
                guest.state().log.push(LogLine { level, message });
                Ok(())
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_get_log_level", |caller: Caller<'_, State>, at: u32| {
        hostcall(caller, "proxy_get_log_level", |guest| guest.write_word(at, 0))
    })?;
    linker.func_wrap(
        ENV,
        "proxy_get_current_time_nanoseconds",
        |caller: Caller<'_, State>, at: u32| {
            hostcall(caller, "proxy_get_current_time_nanoseconds", |guest| {
                let now = guest.state().nanoseconds();
                guest.write(at, &now.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_tick_period_milliseconds",
        |caller: Caller<'_, State>, period: u32| {
            hostcall(caller, "proxy_set_tick_period_milliseconds", |guest| {
                guest.note(period.to_string());
                guest.state().tick_period = Duration::from_millis(period.into());
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_effective_context",
        |caller: Caller<'_, State>, context: u32| {
            hostcall(caller, "proxy_set_effective_context", |guest| {
                guest.note(context.to_string());
                let known = guest.state().contexts.contains(&context);
                known.then_some(()).ok_or(Status::BAD_ARGUMENT)?;
                guest.state().effective = context;
                Ok(())
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_done", |caller: Caller<'_, State>| {
        hostcall(caller, "proxy_done", |_| Ok(()))
    })?;
    linker.func_wrap(
        ENV,
        "proxy_call_foreign_function",
        |caller: Caller<'_, State>, n: u32, n_len: u32, a: u32, a_len: u32, r: u32, r_len: u32| {
            hostcall(caller, "proxy_call_foreign_function", |guest| {
                let name = guest.text(n, n_len)?;
                let arguments = guest.read(a, a_len)?;
                guest.note(name.clone());
                let result = match name.as_str() {
                    "verify_signature" if guest.state().native_verification => {
                        native::verify_signature(&arguments)
                    }
                    "sign" if guest.state().native_signing => native::sign(&arguments),
                    _ => return Err(Status::NOT_FOUND.into()),
                };
                let result = result.ok_or(Status::BAD_ARGUMENT)?;
                guest.give(&result, r, r_len)
            })
        },
    )?;
    Ok(())
}

/// The header list a map type names, when the module may read it now.
fn readable_map(state: &mut State, map: u32) -> Option<Headers> {
    if map == 6 {
        return state.answer.as_ref().map(|(headers, _)| headers.clone());
    }
    let logging = state.effective_stream()?.logging;
    if logging {
        let stream = state.effective_stream()?;
        return match map {
            0 => Some(stream.request.headers.clone()),
            2 => Some(stream.response.headers.clone()),
            _ => None,
        };
    }
    writable_map(state, map).cloned()
}

/// The header list a map type names, when it has not gone out yet. Envoy's filter
/// forgets the list at that moment, so it can then not even be read.
fn writable_map(state: &mut State, map: u32) -> Option<&mut Headers> {
    use super::state::Progress::{Idle, Released};
    let stream = state.effective_stream()?;
    if stream.logging {
        return None;
    }
    let half = match map {
        0 | 1 => &mut stream.request,
        2 | 3 => &mut stream.response,
        _ => return None,
    };
    match map {
        0 | 2 if half.progress != Released && half.progress != Idle => Some(&mut half.headers),
        1 | 3 => half.trailers.as_mut(),
        _ => None,
    }
}

fn link_headers(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_pairs",
        |caller: Caller<'_, State>, map: u32, at: u32, at_length: u32| {
            hostcall(caller, "proxy_get_header_map_pairs", |guest| {
                guest.note(map.to_string());
                let headers = readable_map(guest.state(), map).unwrap_or_default();
                guest.give(&headers.encode(), at, at_length)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_value",
        |caller: Caller<'_, State>, map: u32, key: u32, key_len: u32, at: u32, at_len: u32| {
            hostcall(caller, "proxy_get_header_map_value", |guest| {
                let name = guest.text(key, key_len)?;
                guest.note(format!("{map} {name}"));
                let headers = readable_map(guest.state(), map).ok_or(Status::BAD_ARGUMENT)?;
                let value = headers.bytes(&name).ok_or(Status::NOT_FOUND)?;
                guest.give(value, at, at_len)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_header_map_pairs",
        |caller: Caller<'_, State>, map: u32, at: u32, length: u32| {
            hostcall(caller, "proxy_set_header_map_pairs", |guest| {
                let headers = guest.headers(at, length)?;
                guest.note(format!("{map} {headers:?}"));
                *writable_map(guest.state(), map).ok_or(Status::BAD_ARGUMENT)? = headers;
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_remove_header_map_value",
        |caller: Caller<'_, State>, map: u32, key: u32, key_len: u32| {
            hostcall(caller, "proxy_remove_header_map_value", |guest| {
                let name = guest.text(key, key_len)?;
                guest.note(format!("{map} {name}"));
                writable_map(guest.state(), map).ok_or(Status::BAD_ARGUMENT)?.remove(&name);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_replace_header_map_value",
        |caller: Caller<'_, State>, map: u32, key: u32, key_len: u32, at: u32, length: u32| {
            hostcall(caller, "proxy_replace_header_map_value", |guest| {
                let (name, value) = (guest.text(key, key_len)?, guest.read(at, length)?);
                guest.note(format!("{map} {name}: {}", value.escape_ascii()));
                writable_map(guest.state(), map).ok_or(Status::BAD_ARGUMENT)?.set(&name, value);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_add_header_map_value",
        |caller: Caller<'_, State>, map: u32, key: u32, key_len: u32, at: u32, length: u32| {
            hostcall(caller, "proxy_add_header_map_value", |guest| {
                let (name, value) = (guest.text(key, key_len)?, guest.read(at, length)?);
                guest.note(format!("{map} {name}: {}", value.escape_ascii()));
                writable_map(guest.state(), map).ok_or(Status::BAD_ARGUMENT)?.add(&name, value);
                Ok(())
            })
        },
    )?;
    Ok(())
}

/// The bytes a buffer type names.
fn buffer(state: &mut State, kind: u32) -> Option<&mut Vec<u8>> {
    match kind {
        0 | 1 => {
            let direction = if kind == 0 { Direction::Request } else { Direction::Response };
            let half = state.effective_stream()?.half(direction);
            (half.in_body || !half.buffer.is_empty()).then_some(&mut half.buffer)
        }
        4 => state.answer.as_mut().map(|(_, body)| body),
        7 => Some(&mut state.plugin_configuration),
        _ => None,
    }
}

fn link_buffers(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_buffer_bytes",
        |caller: Caller<'_, State>, kind: u32, start: u32, max: u32, at: u32, at_len: u32| {
            hostcall(caller, "proxy_get_buffer_bytes", |guest| {
                guest.note(format!("{kind} {start} {max}"));
                let bytes = buffer(guest.state(), kind).ok_or(Status::NOT_FOUND)?;
                let start = (start as usize).min(bytes.len());
                let end = start.saturating_add(max as usize).min(bytes.len());
                let bytes = bytes[start..end].to_vec();
                guest.give(&bytes, at, at_len)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_buffer_bytes",
        |caller: Caller<'_, State>, kind: u32, start: u32, size: u32, at: u32, length: u32| {
            hostcall(caller, "proxy_set_buffer_bytes", |guest| {
                guest.note(format!("{kind} {start} {size} ({length} bytes)"));
                let new = guest.read(at, length)?;
                if kind > 1 {
                    return Err(Status::BAD_ARGUMENT.into());
                }
                let bytes = buffer(guest.state(), kind).ok_or(Status::BAD_ARGUMENT)?;
                // Envoy replaces all, or prepends, or appends; nothing else.
                if start == 0 && size == 0 {
                    bytes.splice(0..0, new);
                } else if start == 0 && size as usize >= bytes.len() {
                    *bytes = new;
                } else if start as usize >= bytes.len() {
                    bytes.extend(new);
                } else {
                    return Err(Status::BAD_ARGUMENT.into());
                }
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn link_streams(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(ENV, "proxy_continue_stream", |caller: Caller<'_, State>, kind: u32| {
        hostcall(caller, "proxy_continue_stream", |guest| {
            guest.note(kind.to_string());
            let direction = match kind {
                0 => Direction::Request,
                1 => Direction::Response,
                _ => return Err(Status::UNIMPLEMENTED.into()),
            };
            defer(guest.state(), Deferred::Resume(direction));
            Ok(())
        })
    })?;
    linker.func_wrap(ENV, "proxy_close_stream", |caller: Caller<'_, State>, kind: u32| {
        hostcall(caller, "proxy_close_stream", |guest| {
            guest.note(kind.to_string());
            defer(guest.state(), Deferred::Close);
            Ok(())
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_send_local_response",
        |caller: Caller<'_, State>,
         status: u32,
         details: u32,
         details_len: u32,
         body: u32,
         body_len: u32,
         headers: u32,
         headers_len: u32,
         _grpc_status: i32| {
            hostcall(caller, "proxy_send_local_response", |guest| {
                let details = guest.read(details, details_len)?;
                let details = String::from_utf8_lossy(&details).replace(' ', "_");
                let body = guest.read(body, body_len)?;
                let headers = guest.headers(headers, headers_len)?;
                guest.note(format!("{status} {details} {headers:?}"));
                defer(guest.state(), Deferred::Reply { status, details, headers, body });
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_http_call",
        |caller: Caller<'_, State>,
         cluster: u32,
         cluster_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         _trailers: u32,
         _trailers_len: u32,
         timeout: u32,
         at: u32| {
            hostcall(caller, "proxy_http_call", |guest| {
                let cluster = guest.text(cluster, cluster_len)?;
                let headers = guest.headers(headers, headers_len)?;
                let body = guest.read(body, body_len)?;
                guest.note(format!("{cluster} {headers:?}"));
                let complete =
                    [":method", ":path", ":authority"].iter().all(|n| headers.bytes(n).is_some());
                if !complete || guest.state().unknown_clusters.contains(&cluster) {
                    return Err(Status::BAD_ARGUMENT.into());
                }
                let token = u32::try_from(guest.state().callouts.len()).unwrap() + 1;
                let timeout = Duration::from_millis(timeout.into());
                guest.state().callouts.push(Callout { token, cluster, headers, body, timeout });
                guest.write_word(at, token)
            })
        },
    )?;
    Ok(())
}

/// Nothing happens without a stream, as in Envoy.
fn defer(state: &mut State, action: Deferred) {
    if state.effective_stream().is_some() {
        state.deferred.push((state.effective, action));
    }
}

fn link_storage(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_property",
        |caller: Caller<'_, State>, path: u32, path_len: u32, at: u32, at_len: u32| {
            hostcall(caller, "proxy_get_property", |guest| {
                let path = guest.text(path, path_len)?;
                guest.note(path.replace('\0', "."));
                let path: Vec<&str> = path.split('\0').collect();
                let value = guest.state().property(&path).ok_or(Status::NOT_FOUND)?;
                guest.give(&value, at, at_len)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_property",
        |caller: Caller<'_, State>, path: u32, path_len: u32, at: u32, length: u32| {
            hostcall(caller, "proxy_set_property", |guest| {
                let (path, value) = (guest.text(path, path_len)?, guest.read(at, length)?);
                guest.note(format!("{path} = {}", value.escape_ascii()));
                let stream = guest.state().effective_stream().ok_or(Status::NOT_FOUND)?;
                stream.filter_state.insert(path, value);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_get_shared_data",
        |caller: Caller<'_, State>, key: u32, key_len: u32, at: u32, at_len: u32, at_cas: u32| {
            hostcall(caller, "proxy_get_shared_data", |guest| {
                let key = guest.text(key, key_len)?;
                guest.note(key.clone());
                let (value, cas) = guest.state().shared_data.get(&key).ok_or(Status::NOT_FOUND)?;
                guest.give(&value, at, at_len)?;
                guest.write_word(at_cas, cas)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_shared_data",
        |caller: Caller<'_, State>, key: u32, key_len: u32, at: u32, length: u32, cas: u32| {
            hostcall(caller, "proxy_set_shared_data", |guest| {
                let (key, value) = (guest.text(key, key_len)?, guest.read(at, length)?);
                guest.note(format!("{key} cas {cas}"));
                Ok(guest.state().shared_data.set(&key, &value, cas)?)
            })
        },
    )?;
    Ok(())
}

fn link_metrics(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_define_metric",
        |caller: Caller<'_, State>, kind: u32, name: u32, name_len: u32, at: u32| {
            hostcall(caller, "proxy_define_metric", |guest| {
                let name = guest.text(name, name_len)?;
                guest.note(name.clone());
                guest.state().metric_values.entry(name.clone()).or_default();
                guest.state().metrics.push((kind, name));
                let id = u32::try_from(guest.state().metrics.len()).unwrap();
                guest.write_word(at, id)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_increment_metric",
        |caller: Caller<'_, State>, id: u32, offset: i64| {
            hostcall(caller, "proxy_increment_metric", |guest| {
                let (kind, value) = metric(guest.state(), id)?;
                // Only a gauge goes down.
                if kind != 1 && offset < 0 {
                    return Err(Status::BAD_ARGUMENT.into());
                }
                *value = value.saturating_add_signed(offset);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_record_metric",
        |caller: Caller<'_, State>, id: u32, new: u64| {
            hostcall(caller, "proxy_record_metric", |guest| {
                *metric(guest.state(), id)?.1 = new;
                Ok(())
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_get_metric", |caller: Caller<'_, State>, id: u32, at: u32| {
        hostcall(caller, "proxy_get_metric", |guest| {
            let value = *metric(guest.state(), id)?.1;
            guest.write(at, &value.to_le_bytes())
        })
    })?;
    Ok(())
}

/// A metric's kind (0 counter, 1 gauge, 2 histogram) and value.
fn metric(state: &mut State, id: u32) -> std::result::Result<(u32, &mut u64), Refusal> {
    let defined = id.checked_sub(1).and_then(|index| state.metrics.get(index as usize));
    let (kind, name) = defined.ok_or(Status::NOT_FOUND)?;
    let value = state.metric_values.get_mut(name).ok_or(Status::NOT_FOUND)?;
    Ok((*kind, value))
}
