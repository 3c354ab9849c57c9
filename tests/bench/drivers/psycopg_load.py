"""Clients of psycopg 3, a thread each: takes a plan as JSON, prints how many answers they had."""

import json
import sys
import threading
import time

import psycopg

plan = json.loads(sys.argv[1])
login = plan["login"]
counts = []
failures = []


def connect(personality):
    return psycopg.connect(
        host=plan["host"],
        port=plan["port"],
        user=login["user"],
        password=login["password"],
        dbname=login["database"],
        sslmode="disable",
        autocommit=True,
        application_name=personality["applicationName"],
    )


def run(number, connection, until):
    answers = 0
    try:
        while time.monotonic() < until:
            aid = 1 + (number * 7919 + answers * 104729) % 1000000
            connection.execute(
                "SELECT abalance FROM pgbench_accounts WHERE aid = %s", (aid,)
            ).fetchone()
            answers += 1
    except psycopg.Error as error:
        failures.append(error)
    counts.append(answers)


connections = []
for group in plan["groups"]:
    for index in range(group["clients"]):
        personality = group["personality"][index % len(group["personality"])]
        connection = connect(personality)
        connection.execute(f"SET TIME ZONE '{personality['timeZone']}'")
        connections.append(connection)

print("connected", flush=True)
sys.stdin.readline()
until = time.monotonic() + plan["seconds"]
threads = [
    threading.Thread(target=run, args=(number, connection, until))
    for number, connection in enumerate(connections)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for connection in connections:
    connection.close()
if failures:
    sys.exit(f"psycopg: {failures[0]}")
print(sum(counts))
