//! A map behind HTTP: every handler shares it, no handler waits for another, and large values are sent from where they lie.
//!
//! ```text
//! cargo run --release -p cmap-bytes --example axum_handler -- 127.0.0.1:8080
//! curl -X PUT --data-binary @photo.jpg http://127.0.0.1:8080/photo
//! curl http://127.0.0.1:8080/photo
//! cargo run -p cmap-bytes --example axum_handler      # checks itself
//! ```

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderName, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cmap::{CMap, Changed, Error, Inserted};
use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};
use tokio::net::TcpListener;
use tower::ServiceExt;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Shared = State<Arc<CMap>>;

const VALUE_BYTES_MAX: usize = 8 << 20;

/// What a client is told when the map says no.
struct Refused(Error);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            Error::KeyTooLong { .. } => StatusCode::URI_TOO_LONG,
            Error::ValueTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::NotACounter { .. } => StatusCode::CONFLICT,
            // What readers keep comes back when they are done: it is worth trying again.
            Error::Full { pinned, .. } if *pinned > 0 => StatusCode::SERVICE_UNAVAILABLE,
            Error::Full { .. } | Error::OutOfMemory { .. } => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.0.to_string()).into_response()
    }
}

/// The value as it is now. While it is sent, others may replace or remove it; a large one is not copied.
async fn read(State(map): Shared, Path(key): Path<String>) -> Response {
    const TYPE: (HeaderName, &str) = (header::CONTENT_TYPE, "application/octet-stream");
    match map.get_ref(key.as_bytes()) {
        Some(value) => ([TYPE], Bytes::from_owner(value)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn write(
    State(map): Shared,
    Path(key): Path<String>,
    value: Bytes,
) -> Result<StatusCode, Refused> {
    Ok(match map.insert(key.as_bytes(), &value)? {
        Inserted::New => StatusCode::CREATED,
        Inserted::Replaced => StatusCode::NO_CONTENT,
    })
}

async fn create(
    State(map): Shared,
    Path(key): Path<String>,
    value: Bytes,
) -> Result<StatusCode, Refused> {
    Ok(match map.insert_if_absent(key.as_bytes(), &value)? {
        Changed::Inserted => StatusCode::CREATED,
        _ => StatusCode::CONFLICT,
    })
}

async fn remove(State(map): Shared, Path(key): Path<String>) -> StatusCode {
    if map.remove(key.as_bytes()) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn count(State(map): Shared, Path(key): Path<String>) -> Result<String, Refused> {
    Ok((map.fetch_add(key.as_bytes(), 1)? + 1).to_string())
}

/// Every call of the map is short and waits for nobody, so handlers call it as it is, without `spawn_blocking`.
fn app(map: Arc<CMap>) -> Router {
    Router::new()
        .route("/{key}", get(read).put(write).post(create).delete(remove))
        .route("/{key}/count", post(count))
        .layer(DefaultBodyLimit::max(VALUE_BYTES_MAX))
        .with_state(map)
}

/// One request, without a network.
async fn ask(
    app: &Router,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), Failure> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::from(body))?;
    let (head, body) = app.clone().oneshot(request).await?.into_parts();
    Ok((head.status, to_bytes(body, VALUE_BYTES_MAX).await?))
}

async fn check() -> Result<(), Failure> {
    let map = Arc::new(CMap::builder().max_bytes(16 << 20).build()?);
    let app = app(map.clone());
    let large = vec![7; 1 << 20];
    for (method, path, body, status, answer) in [
        ("GET", "/a", &b""[..], StatusCode::NOT_FOUND, &b""[..]),
        ("PUT", "/a", b"1", StatusCode::CREATED, b""),
        ("PUT", "/a", b"2", StatusCode::NO_CONTENT, b""),
        ("POST", "/a", b"3", StatusCode::CONFLICT, b""),
        ("GET", "/a", b"", StatusCode::OK, b"2"),
        (
            "POST",
            "/a/count",
            b"",
            StatusCode::CONFLICT,
            b"the value has 1 bytes; a counter has 8",
        ),
        ("DELETE", "/a", b"", StatusCode::NO_CONTENT, b""),
        ("DELETE", "/a", b"", StatusCode::NOT_FOUND, b""),
        ("POST", "/n/count", b"", StatusCode::OK, b"1"),
        ("POST", "/n/count", b"", StatusCode::OK, b"2"),
        ("PUT", "/large", &large, StatusCode::CREATED, b""),
        ("GET", "/large", b"", StatusCode::OK, &large),
    ] {
        let (is_status, is_answer) = ask(&app, method, path, body.to_vec()).await?;
        assert_eq!(is_status, status, "{method} {path}: {is_answer:?}");
        assert!(is_answer == answer, "{method} {path}: {is_answer:?}");
    }

    // Downloads that are under way keep what they send; the limit holds, and says so.
    let mut downloads = Vec::new();
    let refused = loop {
        let (status, answer) = ask(&app, "PUT", "/large", large.clone()).await?;
        if status != StatusCode::NO_CONTENT {
            break (status, answer);
        }
        downloads.push(ask(&app, "GET", "/large", Vec::new()).await?.1);
        assert!(downloads.len() < 16, "beyond the limit");
    };
    assert_eq!(
        refused.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        refused.1
    );
    assert!(downloads.iter().all(|body| *body == large));
    drop(downloads);
    assert_eq!(
        ask(&app, "PUT", "/large", large).await?.0,
        StatusCode::NO_CONTENT
    );

    // And over a socket.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    map.insert(b"greeting", b"hello")?;
    let answer = tokio::task::spawn_blocking(move || over_socket(address)).await??;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"),
        "{answer}"
    );
    server.abort();
    println!("{} entries served, {:?}", map.len(), map.memory());
    Ok(())
}

fn over_socket(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /greeting HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

async fn run() -> Result<(), Failure> {
    let Some(address) = env::args().nth(1) else {
        return check().await;
    };
    let map = CMap::builder().max_bytes(1 << 30).build()?;
    let listener = TcpListener::bind(&address).await?;
    println!("on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app(Arc::new(map))).await?)
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(run())
}
