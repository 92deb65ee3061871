"""The independent second client, ``py-clob-client-v2``: order client by choice, witness and emergency exit always.

Nothing in here imports the first client: it must work when that one cannot even be imported.
"""
