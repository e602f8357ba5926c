//! `POST` and `GET /calls/ID/media`: media for clients without WebRTC.

use base64_simd::STANDARD;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::scenes::{Scene, keys};
use crate::support::answer;

fn chunks(media: &Value) -> Vec<(i64, Vec<u8>)> {
    let chunks = media["chunks"].as_array().unwrap();
    chunks
        .iter()
        .map(|chunk| {
            assert_eq!(keys(chunk), ["data", "seq"]);
            let data = STANDARD.decode_to_vec(chunk["data"].as_str().unwrap()).unwrap();
            (chunk["seq"].as_i64().unwrap(), data)
        })
        .collect()
}

#[tokio::test]
async fn media_is_returned_as_it_was_uploaded() {
    let scene = Scene::active().await;
    let media = scene.path("media");
    let empty = json!({ "mime_type": null, "init": null, "chunks": [] });
    assert_eq!(scene.bob.read(&format!("{media}?sender=alice")).await, empty);

    let init = scene.path("media?init=1&mime=video%2Fwebm%3Bcodecs%3Dvp8%2Copus");
    assert_eq!(scene.alice.post_bytes(&init, b"header".as_slice()).await, (200, json!({ "status": "ok", "seq": -1 })));
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut seqs = Vec::new();
    for data in [every_byte.clone(), vec![0], b"third".to_vec()] {
        let (status, body) = scene.alice.post_bytes(&media, data).await;
        assert_eq!((status, &body["status"]), (200, &json!("ok")));
        seqs.push(body["seq"].as_i64().unwrap());
    }
    assert!(seqs.is_sorted() && seqs[0] > 0, "{seqs:?}");
    let ids: i64 = scene.server.value("SELECT max(id) FROM call_media");
    assert_eq!(seqs[2], ids, "the row's id");

    let read = scene.bob.read(&format!("{media}?sender=alice&after=-1")).await;
    assert_eq!(read["mime_type"], "video/webm;codecs=vp8,opus");
    assert_eq!(read["init"], STANDARD.encode_to_string("header"));
    assert_eq!(chunks(&read), [(seqs[0], every_byte), (seqs[1], vec![0]), (seqs[2], b"third".to_vec())]);
    // Every response has the init segment, and the chunks after the cursor.
    let read = scene.bob.read(&format!("{media}?sender=alice&after={}", seqs[1])).await;
    assert_eq!(read["init"], STANDARD.encode_to_string("header"));
    assert_eq!(chunks(&read), [(seqs[2], b"third".to_vec())]);
    // Each sender has a stream, which every participant can read.
    assert_eq!(scene.alice.read(&format!("{media}?sender=bob")).await, empty);
    assert_eq!(scene.alice.read(&format!("{media}?sender=ghost")).await, empty);
    assert_eq!(chunks(&scene.alice.read(&format!("{media}?sender=alice")).await).len(), 3);
}

#[tokio::test]
async fn the_newest_init_segment_replaces_the_earlier() {
    let scene = Scene::active().await;
    let request = scene.alice.posting_bytes(&scene.path("media"), b"first".as_slice());
    let (status, body) = answer(request.header("x-init", "1").header("x-mime", "audio/webm")).await;
    assert_eq!((status, &body["seq"]), (200, &json!(-1)));
    let read = scene.bob.read(&scene.path("media?sender=alice")).await;
    assert_eq!((&read["mime_type"], &read["init"]), (&json!("audio/webm"), &json!(STANDARD.encode_to_string("first"))));

    // The query has precedence over the headers.
    let request = scene.alice.posting_bytes(&scene.path("media?init=1&mime=video/mp4"), b"second".as_slice());
    assert_eq!(answer(request.header("x-init", "0").header("x-mime", "audio/webm")).await.0, 200);
    let read = scene.bob.read(&scene.path("media?sender=alice")).await;
    assert_eq!((&read["mime_type"], &read["init"]), (&json!("video/mp4"), &json!(STANDARD.encode_to_string("second"))));
    assert_eq!(scene.server.value::<i64>("SELECT count(*) FROM call_media"), 1);
}

#[tokio::test]
async fn uploads_require_an_accepted_participant() {
    let scene = Scene::ringing().await;
    let (server, media) = (&scene.server, scene.path("media"));
    let chunk = b"chunk".as_slice();
    for init in ["", "?init=1&mime=video/webm"] {
        let path = format!("{media}{init}");
        let unknown = format!("/calls/none/media{init}");
        server.assert_refuses(scene.alice.posting_bytes(&unknown, chunk), 404, "call_not_found").await;
        server.assert_refuses(scene.bob.posting_bytes(&path, chunk), 403, "not_accepted").await;
        server.assert_refuses(scene.carol.posting_bytes(&path, chunk), 403, "not_a_participant").await;
    }
    // The caller may upload while the call rings.
    assert_eq!(scene.alice.post_bytes(&media, chunk).await.0, 200);
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    assert_eq!(scene.bob.post(&scene.path("end")).await.0, 200);
    server.assert_refuses(scene.alice.posting_bytes(&media, chunk), 409, "call_finished").await;
    server.assert_refuses(scene.carol.posting_bytes(&media, chunk), 403, "not_a_participant").await;
}

#[tokio::test]
async fn an_upload_needs_bytes_and_an_init_segment_a_mime_type() {
    let scene = Scene::active().await;
    let server = &scene.server;
    let long_mime = format!("media?init=1&mime={}", "m".repeat(256));
    for (path, data, status, code) in [
        ("media", b"".as_slice(), 400, "chunk_empty"),
        ("media?init=1&mime=video/webm", b"", 400, "chunk_empty"),
        ("media?init=1", b"init", 400, "mime_missing"),
        ("media?init=1&mime=", b"init", 400, "mime_missing"),
        ("media?init=1&mime=%00", b"init", 400, "call_media_mime_type_length"),
        (&long_mime, b"init", 400, "call_media_mime_type_length"),
    ] {
        server.assert_refuses(scene.alice.posting_bytes(&scene.path(path), data), status, code).await;
    }
    let request = scene.alice.posting_bytes(&scene.path("media"), b"init".as_slice());
    server.assert_refuses(request.header("x-init", "1"), 400, "mime_missing").await;
    server.assert_refuses(scene.alice.posting(&scene.path("media")), 400, "chunk_empty").await;
}

/// Old clients send a second stream of their screen. It must not be mixed with the camera's.
#[tokio::test]
async fn an_upload_of_another_track_is_refused() {
    let scene = Scene::active().await;
    let (server, media) = (&scene.server, scene.path("media"));
    let upload = |data: &'static [u8]| scene.alice.posting_bytes(&media, data);
    let init = |data| upload(data).header("x-init", "1").header("x-mime", "video/webm");
    // The camera's clients send no value.
    assert_eq!(answer(init(b"camera")).await.0, 200);
    assert_eq!(answer(upload(b"one").header("x-track", "")).await.0, 200);
    for track in [&b"screen"[..], b"camera", b" screen", "Bühne".as_bytes(), b"0"] {
        let track = HeaderValue::from_bytes(track).unwrap();
        server.assert_refuses(init(b"screen").header("x-track", track.clone()), 400, "track_unknown").await;
        server.assert_refuses(upload(b"two").header("x-track", track), 400, "track_unknown").await;
    }
    let twice = upload(b"two").header("x-track", "").header("x-track", "screen");
    server.assert_refuses(twice, 400, "track_unknown").await;
    // Who may not upload learns nothing else.
    let stranger = scene.carol.posting_bytes(&media, *b"x").header("x-track", "screen");
    server.assert_refuses(stranger, 403, "not_a_participant").await;
    let read = scene.bob.read(&scene.path("media?sender=alice")).await;
    assert_eq!(read["init"], STANDARD.encode_to_string("camera"));
    assert_eq!(chunks(&read).len(), 1);
    assert_eq!(server.value::<Option<String>>("SELECT screenshare_user FROM calls"), None);
}

#[tokio::test]
async fn a_chunk_has_4_mib_at_most() {
    let scene = Scene::active().await;
    let (status, body) = scene.alice.post_bytes(&scene.path("media"), vec![7; 4 << 20]).await;
    assert_eq!(status, 200, "{body}");
    let read = scene.bob.read(&scene.path("media?sender=alice")).await;
    assert_eq!(chunks(&read)[0].1.len(), 4 << 20);
    for size in [(4 << 20) + 1, 20 << 20] {
        let request = scene.alice.posting_bytes(&scene.path("media"), vec![7; size]);
        scene.server.assert_refuses(request, 413, "media_chunk_too_large").await;
    }
}

#[tokio::test]
async fn the_buffer_is_bounded_by_size_and_age() {
    let scene = Scene::active().await;
    scene.server.execute("UPDATE settings SET value = 10240 WHERE name = 'media_buffer_max_bytes'");
    let init = scene.path("media?init=1&mime=video/webm");
    assert_eq!(scene.alice.post_bytes(&init, b"init".as_slice()).await.0, 200);
    for number in 0..30 {
        assert_eq!(scene.alice.post_bytes(&scene.path("media"), vec![number; 2000]).await.0, 200);
    }
    let read = scene.bob.read(&scene.path("media?sender=alice")).await;
    let kept = chunks(&read);
    assert!((1..=5).contains(&kept.len()), "{} chunks", kept.len());
    assert_eq!(kept.last().unwrap().1, vec![29; 2000], "the newest stays");
    assert_eq!(read["init"], STANDARD.encode_to_string("init"));

    scene.server.execute(
        "DROP TRIGGER call_media_is_final; UPDATE call_media SET ts = ts - 31", // the trigger refuses updates
    );
    scene.server.eventually("SELECT count(*) FROM call_media", std::time::Duration::from_secs(3)).await;
    let read = scene.bob.read(&scene.path("media?sender=alice")).await;
    assert_eq!((chunks(&read).len(), &read["init"]), (0, &json!(STANDARD.encode_to_string("init"))));
}

#[tokio::test]
async fn reading_media_requires_a_participant() {
    let scene = Scene::active().await;
    let server = &scene.server;
    let media = scene.path("media?sender=alice");
    server.assert_refuses(scene.carol.getting(&media), 403, "not_a_participant").await;
    server.assert_refuses(scene.bob.getting("/calls/none/media?sender=alice"), 404, "call_not_found").await;
    for query in ["media", "media?sender=", "media?after=0"] {
        server.assert_refuses(scene.bob.getting(&scene.path(query)), 400, "query_missing").await;
    }
    let all = scene.bob.read(&media).await;
    for after in ["", "x", "1e3", "1.5"] {
        assert_eq!(scene.bob.read(&format!("{media}&after={after}")).await, all, "the default for {after:?}");
    }
}
