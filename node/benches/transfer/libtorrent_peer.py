"""A libtorrent peer for the benchmark, set to be as fast as it can be.

usage: libtorrent_peer.py seed|leech plain|rc4 PORT FOLDER TORRENT [PORT of another peer]...

TORRENT is that of FOLDER/file. A seeder prints READY when it has checked its file, a leecher DONE when every piece has passed its hash and
is written. Both then run until they are killed.
"""

import sys
import time

import libtorrent as lt

role, channel, port, folder, torrent = sys.argv[1:6]
others = [int(other) for other in sys.argv[6:]]

settings = dict(lt.high_performance_seed())
settings.update({
    "listen_interfaces": "127.0.0.1:" + port,
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True,
    "unchoke_slots_limit": -1, "connections_limit": 500, "connection_speed": 500,
    "max_out_request_queue": 2000, "max_allowed_in_request_queue": 4000, "request_queue_time": 3,
    "send_buffer_watermark": 4 << 20, "send_buffer_low_watermark": 1 << 20, "send_buffer_watermark_factor": 150,
    "max_queued_disk_bytes": 32 << 20, "aio_threads": 2, "hashing_threads": 1,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification,
})
if channel == "rc4":
    settings.update({"out_enc_policy": 0, "in_enc_policy": 0, "allowed_enc_level": 2, "prefer_rc4": True})
else:
    settings.update({"out_enc_policy": 2, "in_enc_policy": 2})
known = lt.default_settings()
session = lt.session({name: value for name, value in settings.items() if name in known})

params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
handle = session.add_torrent(params)
if role == "leech":
    for other in others:
        handle.connect_peer(("127.0.0.1", other))

while not handle.status().is_seeding:
    session.wait_for_alert(20)
    session.pop_alerts()
if role == "leech":
    # It calls itself a seeder when the last hash has passed; writes may still wait.
    handle.flush_cache()
    flushed = False
    while not flushed:
        session.wait_for_alert(20)
        flushed = any(isinstance(alert, lt.cache_flushed_alert) for alert in session.pop_alerts())
print("READY" if role == "seed" else "DONE", flush=True)
while True:
    time.sleep(3600)
