#!/usr/bin/env python3
"""Sends tasks to sd through RabbitMQ, and prints their results.

Needs pika: apt install python3-pika, or pip install pika. sd must run with
    sd serve --intake 'amqp://guest@127.0.0.1/?queue=sd.tasks'

usage: producer.py [COUNT] [URL] [QUEUE]
"""

import json
import sys
import uuid

import pika

count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
url = sys.argv[2] if len(sys.argv) > 2 else "amqp://guest:guest@127.0.0.1/"
queue = sys.argv[3] if len(sys.argv) > 3 else "sd.tasks"

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
# A publish raises unless RabbitMQ has the message in its queue.
channel.confirm_delivery()
replies = channel.queue_declare("", exclusive=True).method.queue

# The id of a task: send a message again under the same id and it still runs once.
waiting = {f"py-{uuid.uuid4()}": n for n in range(count)}


def on_reply(channel, method, properties, body):
    n = waiting.pop(properties.correlation_id, None)
    if n is None:
        return  # The reply came before: each comes at least once.
    end = json.loads(body)
    if end["status"] == "completed":
        print(f"{n} -> {end['result']}", flush=True)
    else:
        print(f"{n}: {end['status']} {end.get('error', '')}", flush=True)
    if not waiting:
        channel.stop_consuming()


channel.basic_consume(replies, on_reply, auto_ack=True)
for task_id, n in list(waiting.items()):
    channel.basic_publish(
        exchange="",
        routing_key=queue,
        body=json.dumps({"op": "square", "n": n}),
        properties=pika.BasicProperties(
            message_id=task_id,
            reply_to=replies,
            correlation_id=task_id,
            content_type="application/json",
            delivery_mode=2,
        ),
        mandatory=True,
    )
if waiting:
    channel.start_consuming()
connection.close()
